"""RACER: two forecasts' disagreement says how far to trust them, and when to compute.

Li et al., arXiv 2608.01740, of which we read the abstract and third-party summaries; we
do not know its code and constants. These ideas are the paper's: the forecast is
Spectrum's fit, and a local Taylor series of the same computed values observes it. The
relative distance of the two is a signal of the error that costs nothing. The larger it
is, the more the forecast is shrunk towards the last computed value; where it is
largest, the step is computed, and a later scheduled step is skipped instead.

These choices are ours: the series is the line of `Spectrum`, and the forecast is its
mix; the shrinkage is the least-squares one for an error that is independent of the
forecast's change; the step that is skipped is the next scheduled one; and all defaults.
They were chosen on velocities of eight full 50-step runs of a shapes model. In runs of
that model they are half a decibel nearer to the full run than Spectrum at 75, 50 and 35
% of the work, and 1.7 dB farther at 25 % (benchmarks/caches/RESULTS.md).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.changes import TINY
from chorus_jax.intra_request.history import History
from chorus_jax.intra_request.scheduled import share
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.schedulers.flow import Schedule


class RacerState(NamedTuple):
    """State of a run.

    Attributes:
        past: the last computed values, per row of the grain.
        owed: whether an unscheduled step was computed for which no scheduled step has
            been skipped yet, per request.
    """

    past: History
    owed: Bool[Array, " b"]


@dataclass(frozen=True)
class RACER(Spectrum):
    """Computes as many steps as Spectrum, but moves them to where forecasts disagree.

    The steps of `computes` are scheduled. Another step is computed if the forecasts
    disagree there, and the next scheduled step is skipped instead, so the number of
    computed steps is known before the run. Only if the transformer or the tokens change
    before that step, one more step may be computed.

    Attributes:
        threshold: the distance between the forecasts, relative to the fit, at which a
            step is computed; a large number leaves the schedule unchanged.
        caution: how strongly a forecast in doubt is shrunk towards the last computed
            value; 0 trusts all forecasts.

    Raises:
        ValueError: as in `Spectrum`, and for a threshold or caution below 0 or not
            finite.
    """

    threshold: float = 0.4
    caution: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= x < float("inf") for x in (self.threshold, self.caution)):
            raise ValueError(
                "expected a threshold and a caution of 0 or more, got "
                f"{self.threshold} and {self.caution}"
            )

    def init(self, forward: Forward) -> Any:
        """The state before the first step, without a value."""
        past = super().init(forward)
        requests = len(jax.tree.leaves(forward.latents)[0])
        return RacerState(past, jnp.zeros(requests, bool))

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: Any,
    ) -> tuple[Latents, Held, Any, Float[Array, " b"]]:
        """Runs the whole pass, or uses a forecast (see `StepCache.step`)."""
        past, here = state.past, self.taken.rows(forward, i)
        weights, doubt = self.trusted(past, here, schedule)
        # A request's branches of guidance are computed together, or none is.
        doubts = (doubt >= self.threshold).reshape(-1, len(i)).any(axis=0)
        computed, owed = self.decide(
            i, schedule.steps, past.known[: len(i)], doubts, state.owed
        )
        rows, forecast = self.taken.rows(forward, computed), past.combined(weights)
        velocity, held, value = self.taken.step(forward, held, rows, forecast)
        after = RacerState(past.pushed(rows, here, value), owed)
        return velocity, held, after, share(rows, i, self.taken.always(forward))

    def trusted(
        self, past: History, i: Int[Array, " r"], schedule: Schedule
    ) -> tuple[Float[Array, "r k"], Float[Array, " r"]]:
        """The weights of the shrunk forecast of step `i`, and the relative distance of
        the two forecasts."""
        last = jnp.zeros(past.steps.shape).at[:, 0].set(1.0)
        mixed = self.weights(past.steps, i, schedule)
        fit, line = self.fit(past.steps, i, schedule.steps), self.line(past.steps, i)
        apart, moved = past.norm(fit - line), past.norm(mixed - last)
        noise = self.caution * jnp.square(apart)
        trust = jnp.square(moved) / jnp.maximum(jnp.square(moved) + noise, TINY**2)
        weights = last + trust[:, None] * (mixed - last)
        return weights, apart / jnp.maximum(past.norm(fit), TINY)

    def decide(
        self,
        i: Int[Array, " b"],
        steps: int,
        known: Bool[Array, " b"],
        doubts: Bool[Array, " b"],
        owed: Bool[Array, " b"],
    ) -> tuple[Bool[Array, " b"], Bool[Array, " b"]]:
        """Whether each request's step `i` is computed, and `RacerState.owed` after
        it."""
        table = np.array(self.computes(steps))
        later = table[::-1].cumsum()[::-1] > table  # whether a later step is scheduled
        scheduled = jnp.array(table)[i]
        refreshed = known & ~scheduled & doubts & ~owed & jnp.array(later)[i]
        computed = ~known | refreshed | (scheduled & ~owed)
        return computed, refreshed | (owed & ~scheduled)
