"""The parts of a converted folder that a family of LTX reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from chorus_jax.checkpoints import Card
from chorus_jax.families.ltx_shared.coefficients import check_coefficients
from chorus_jax.families.ltx_shared.upsampler import LTXUpsampler, UpsamplerConfig
from chorus_jax.intra_request.fitting import CachedRun, check_fits
from chorus_jax.request import Request
from chorus_jax.schedulers import Schedule, Solver, named

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

    def solver(self, request: Request, sizes: Any, schedule: LevelSchedule) -> Solver:
        """The request's solver over the schedule's levels, or over those that it gives
        itself, as distilled models want them."""
        if not isinstance(request.steps, int):
            return request.make_solver()
        tokens = sizes.token_count(request)
        levels = schedule.sigmas(request.steps, tokens, request.shift)
        levels_of = Schedule.of(levels, levels * np.float32(1000))
        return request.last_steps(named(request.solver)(levels_of))

    def check_cache(
        self, request: Request, sizes: Any, schedule: LevelSchedule
    ) -> None:
        """ValueError for a request's step cache that does not fit its run or model."""
        cache = request.own_cache
        if cache is None:
            return
        check_coefficients(cache, sizes.is_091)
        steps = self.solver(request, sizes, schedule).schedule
        _, *size = sizes.grid(request)
        depth = sizes.transformer.depth
        check_fits(cache, CachedRun(steps, depth, self.branches, tuple(size)))

    def fingerprints(self, card: Card, transformer: str) -> dict[str, str]:
        """The fingerprint of each part of a first pass: recipes need not know an
        upsampler."""
        stored, parts = self.names(transformer), self.parts(card)
        first = (name for name in parts if name != UPSAMPLER)
        return {name: card.part(stored[name]).fingerprint for name in first}
