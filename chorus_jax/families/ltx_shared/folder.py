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
    """The classes of parts with those of a latent upsampler, if a card has one."""
    upsampler = {UPSAMPLER: (LTXUpsampler, UpsamplerConfig)}
    return {**parts, **(upsampler if UPSAMPLER in card.parts else {})}


@runtime_checkable
class LevelSchedule(Protocol):
    """The noise levels of a run by its number of steps."""

    def sigmas(
        self, steps: int, tokens: int, shift: float = 1.0
    ) -> Float32[np.ndarray, " steps"]:
        """The levels of all steps of a video of so many tokens."""


@dataclass(frozen=True)
class LTXFolder:
    """The parts of a family's converted folders.

    Attributes:
        sizes: the class of the configs of all parts, read from a folder.
        parts: the module's and the config's class of each part of a card.
        names: the part of a folder that each part is read from, given that of the
            transformer.
        schedule: the levels that a scheduler_config.json describes, None if there is
            none.
        branches: the names of a layer's branches.
    """

    sizes: Any
    parts: Callable[[Card], Classes]
    names: Callable[[str], Mapping[str, str]]
    schedule: Callable[[Mapping[str, Any] | None], LevelSchedule]
    branches: tuple[str, ...]

    def fingerprints(self, card: Card, transformer: str) -> dict[str, str]:
        """The fingerprint of each part of a first pass: recipes need not know an
        upsampler."""
        stored, parts = self.names(transformer), self.parts(card)
        first = (name for name in parts if name != UPSAMPLER)
        return {name: card.part(stored[name]).fingerprint for name in first}
