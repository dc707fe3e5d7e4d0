"""Detects the version of an LTX-Video from its configs and its file name.

The configs contain the sizes, the positions in time, the kind of VAE and, for some
distilled models, the timesteps that may be run, but no version number. So the version
is taken from the name of the file or folder, if it is consistent with the configs.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chorus_jax.families.ltx.versions import SIZES, VERSIONS

POSITIONS = "causal_temporal_positioning"
STEPS = "allowed_inference_steps"  # a metadata field of distilled models
NUMBER = re.compile(r"(?<![\d.])0\.9(?:\.\d+)*(?!\d)")


def folds_pixels(vae: Mapping[str, Any]) -> bool:
    """Whether a VAE's encoder folds pixels into channels, as it does since 0.9.5.

    The transformers beside such a VAE have causal positions in time. `vae` is its
    config in either layout.
    """
    original, theirs = vae.get("encoder_blocks"), vae.get("down_block_types")
    return "compress_space_res" in str(original) or "095" in str(theirs)


@dataclass(frozen=True)
class Signs:
    """Properties of a model that depend on its version.

    Attributes:
        size: `2B` or `13B`; None for a model of other sizes.
        causal: whether it uses the temporal positions of 0.9.5 and later.
        timestep: whether the VAE's decoder is conditioned on a timestep.
        distilled: whether its metadata lists the timesteps that may be run; None
            without metadata.
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
        """Reads the properties from the configs of a transformer and a VAE.

        Args:
            transformer: the transformer's config, in either layout.
            vae: the VAE's config, in either layout.
            metadata: the config in a single file's metadata, if there is one.
        """
        names = ("num_attention_heads", "attention_head_dim", "num_layers")
        sizes: Any = tuple(transformer.get(name) for name in names)
        return cls(
            SIZES.get(sizes) if all(type(x) is int for x in sizes) else None,
            bool(transformer.get(POSITIONS, False)),
            bool(vae.get("timestep_conditioning", False)),
            None if metadata is None else bool(metadata.get(STEPS)),
        )

    def fit(self, size: str, version: str) -> bool:
        """Whether the published model of this size and version has these properties."""
        number = version.partition("-")[0]
        later = number not in ("0.9.0", "0.9.1")
        # Only the distilled 0.9.7 and 0.9.8 list their timesteps.
        named = version.endswith("distilled") and number in ("0.9.7", "0.9.8")
        return (
            size == self.size
            and later == self.causal
            and (number != "0.9.0") == self.timestep
            and self.distilled in (None, named)
        )


def version_of(signs: Signs, names: Sequence[str]) -> str | None:
    """The version of a model, such as `0.9.8-dev`; None if it is ambiguous, or if a
    name gives the number of a version that it cannot be.

    Args:
        signs: the model's properties.
        names: the names of its file and folders, the nearest first, such as
            `ltxv-13b-0.9.8-dev.safetensors`.
    """
    known = [(size, version) for size in VERSIONS for version in VERSIONS[size]]
    fitting = [version for size, version in known if signs.fit(size, version)]
    for name in names:
        named = [version for version in fitting if _names(name.lower(), version)]
        if named:
            return named[-1] if len(named) == 1 else None
        if _contradicts(name, fitting):
            return None
    return fitting[0] if len(fitting) == 1 else None


def _names(name: str, version: str) -> bool:
    """Whether a file name, in lower case, fits this version."""
    number, _, kind = version.partition("-")
    labelled = "distilled" if "distilled" in name else "dev"
    return number in _numbers(name) and kind in ("", labelled)


def _contradicts(name: str, versions: Sequence[str]) -> bool:
    """Whether a file name gives version numbers, and none of these versions'."""
    numbers = _numbers(name)
    return bool(numbers) and numbers.isdisjoint(x.partition("-")[0] for x in versions)


def _numbers(name: str) -> set[str]:
    """The version numbers in a file name; `0.9` is 0.9.0."""
    return {x if x.count(".") > 1 else f"{x}.0" for x in NUMBER.findall(name)}
