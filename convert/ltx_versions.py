"""The version of an LTX-Video: what its files say of themselves, and what a name adds.

A file's own config tells the sizes, the positions in time, the kind of VAE and, of
distilled models, the timesteps that may be run; it gives no number. So the number comes
from the name of the file or folder, and counts only if what the file says is of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chorus_jax.families.ltx.versions import SIZES, VERSIONS

POSITIONS = "causal_temporal_positioning"
STEPS = "allowed_inference_steps"  # of distilled models, in the metadata's config
NUMBER = re.compile(r"(?<![\d.])0\.9(?:\.\d)?(?!\d)")


@dataclass(frozen=True)
class Signs:
    """Signs of a model's version in its files.

    Attributes:
        size: `2B` or `13B`; None for a model of other sizes.
        causal: whether its positions are those of 0.9.5 and later.
        timestep: whether its VAE's decoder is conditioned on a timestep.
        distilled: whether it names the timesteps that may be run; None if nothing is
            said of them.
    """

    size: str | None
    causal: bool
    timestep: bool
    distilled: bool | None = None

    @classmethod
    def of(
        cls,
        transformer: Mapping[str, Any],
        vae: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> "Signs":
        """The signs in the configs of a transformer and a VAE, in either layout."""
        names = ("num_attention_heads", "attention_head_dim", "num_layers")
        sizes: Any = tuple(transformer.get(name) for name in names)
        return cls(
            SIZES.get(sizes),
            bool(transformer.get(POSITIONS, False)),
            bool(vae.get("timestep_conditioning", False)),
            None if metadata is None else bool(metadata.get(STEPS)),
        )

    def fit(self, size: str, version: str) -> bool:
        """Whether a published version may say this of itself."""
        number = version.partition("-")[0]
        later = number not in ("0.9.0", "0.9.1")
        # Only 0.9.7 and 0.9.8 name their timesteps.
        named = version.endswith("distilled") and number in ("0.9.7", "0.9.8")
        return (
            size == self.size
            and later == self.causal
            and (number != "0.9.0") == self.timestep
            and self.distilled in (None, named)
        )


def version_of(signs: Signs, names: Sequence[str]) -> str | None:
    """The version of a model as `variants` names it; None if that cannot be told.

    Args:
        signs: what its files say.
        names: of its file or folder, the nearest first, such as
            `ltxv-13b-0.9.8-dev.safetensors`.
    """
    known = [(size, version) for size in VERSIONS for version in VERSIONS[size]]
    fitting = [version for size, version in known if signs.fit(size, version)]
    for name in names:
        named = [version for version in fitting if _names(name.lower(), version)]
        if named:
            return named[-1] if len(named) == 1 else None
    return fitting[0] if len(fitting) == 1 else None


def _names(name: str, version: str) -> bool:
    """Whether a file's name is one of this version's."""
    number, _, kind = version.partition("-")
    numbers = [x if x.count(".") == 2 else f"{x}.0" for x in NUMBER.findall(name)]
    told = "distilled" if "distilled" in name else "dev"
    return number in numbers and kind in ("", told)
