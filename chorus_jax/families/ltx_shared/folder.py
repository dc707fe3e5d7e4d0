"""The parts of a converted folder that a family of LTX reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from chorus_jax.checkpoints import Card
from chorus_jax.families.ltx_shared.upsampler import LTXUpsampler, UpsamplerConfig

UPSAMPLER = "latent_upsampler"
Classes = Mapping[str, tuple[type, type]]


def with_upsampler(parts: Classes, card: Card) -> Classes:
    """Adds the classes of a latent upsampler to those of the other parts, if a card has
    one."""
    upsampler = {UPSAMPLER: (LTXUpsampler, UpsamplerConfig)}
    return {**parts, **(upsampler if UPSAMPLER in card.parts else {})}


@runtime_checkable
class LevelSchedule(Protocol):
    """Computes a run's noise levels from its number of steps."""

    def sigmas(
        self, steps: int, tokens: int, shift: float = 1.0
    ) -> Float32[np.ndarray, " steps"]:
        """The noise levels of all steps of a video of `tokens` tokens."""


@dataclass(frozen=True)
class LTXFolder:
    """The parts of a family's converted folders.

    Attributes:
        sizes: the class of the configs of all parts, read from a folder.
        parts: the module's and the config's class of each part of a card.
        names: gives, for the name of the part run as the transformer, the part of the
            folder that each part is read from.
        schedule: makes the noise levels that a scheduler_config.json (None if there is
            none) describes.
        branches: the names of a layer's branches.
    """

    sizes: Any
    parts: Callable[[Card], Classes]
    names: Callable[[str], Mapping[str, str]]
    schedule: Callable[[Mapping[str, Any] | None], LevelSchedule]
    branches: tuple[str, ...]

    def fingerprints(self, card: Card, transformer: str) -> dict[str, str]:
        """The fingerprint of each part that a first pass reads; the upsampler's is left
        out, because it changes no stored latents."""
        stored, parts = self.names(transformer), self.parts(card)
        first = (name for name in parts if name != UPSAMPLER)
        return {name: card.part(stored[name]).fingerprint for name in first}
