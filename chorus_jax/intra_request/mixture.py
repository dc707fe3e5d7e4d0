"""A mixture of step caches: one skips steps, another saves within the steps that run.

Caches work at several grains: whole steps, guidance branches, branches of layers.
MixCache (arXiv 2508.12691) chooses among the three in each step; its rule is not public
to us. This is a composition instead, and ours: a cache whose computed steps are known
before the run decides which steps are run at all, and any other one runs those, such
as `GuidanceCache` or `PAB`. What the inner cache saves multiplies with what the outer
one skips.

The outer cache forecasts from velocities that the inner one made. An inner cache that
runs something in every n-th step does it in the next step that is run, if that step is
skipped (see `history.due`).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.beside_budgets import forecasts_tokens, own_budgets
from chorus_jax.intra_request.extrapolating import extrapolates
from chorus_jax.intra_request.fitting import RunProperties, check_fits
from chorus_jax.intra_request.history import History
from chorus_jax.intra_request.protocol import StepCache
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.nets.control import select, when
from chorus_jax.schedulers.flow import Schedule


class MixtureState(NamedTuple):
    """State of both caches.

    Attributes:
        past: the velocities of the last steps that were run.
        within: the state of the cache that runs them.
    """

    past: History
    within: Any


@dataclass(frozen=True)
class Mixture:
    """Runs the steps that one step cache computes with another step cache.

    Attributes:
        steps: says which steps are run, and forecasts the velocities of the others,
            such as `TaylorSeer`, `SkipSteps` or `PlannedCache`.
        within: runs these steps.

    Raises:
        ValueError: for a cache of steps that decides during the run, reuses something
            other than velocities, or has token budgets; and for a cache within that has
            token budgets.
    """

    steps: StepCache
    within: StepCache

    grain = "velocity"  # not a field: skipped steps reuse velocities

    def __post_init__(self) -> None:
        if not forecasts_tokens(self.steps) or own_budgets(self.steps):
            raise ValueError(
                "the steps of a mixture are known before the run and its skipped steps "
                "forecast velocities: take skip, taylor, hicache, foca, spectrum or "
                f"planned, got {self.steps!r:.80}"
            )
        if own_budgets(self.within):
            raise ValueError(
                "a mixture runs all tokens: take a cache without token budgets to run "
                f"its steps, got {self.within!r:.80}"
            )

    @property
    def outer(self) -> ScheduledCache:
        """The cache of steps, by its type."""
        assert isinstance(self.steps, ScheduledCache)
        return self.steps

    @property
    def extrapolates(self) -> bool:
        """See `extrapolating.extrapolates`: whether one of the two does."""
        return extrapolates(self.steps) or extrapolates(self.within)

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for a run that one of the two caches does not fit."""
        for cache in (self.steps, self.within):
            check_fits(cache, run)

    def init(self, forward: Forward) -> MixtureState:
        """The state before the first step."""
        return MixtureState(self.outer.init(forward), self.within.init(forward))

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: MixtureState,
    ) -> tuple[Latents, Held, MixtureState, Float[Array, " b"]]:
        """Runs the step with the cache within, or forecasts it (see
        `StepCache.step`)."""
        outer, past = self.outer, state.past
        computed = jnp.array(outer.computes(schedule.steps))[i] | ~past.known
        forecast = past.combined(outer.weights(past.steps, i, schedule))

        def run(before: Any) -> Any:
            _, held, within, _ = before
            return self.within.step(i, schedule, forward, held, within)

        none = jnp.zeros(i.shape, jnp.float32)
        before = forecast, held, state.within, none
        velocity, held, within, work = when(computed.any(), run, before)
        velocity, within, work = select(
            computed, (velocity, within, work), (forecast, state.within, none)
        )
        after = MixtureState(past.pushed(computed, i, velocity), within)
        return velocity, held, after, work
