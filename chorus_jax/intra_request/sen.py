"""SenCache: a pass is reused while a bound on the change of its output is small.

vita-epfl/SenCache. The bound is the norm of the output's derivative by the latents
times the change of the latents since the last computed step, plus the same product for
the timestep. `calibration.sensitivity` measures the norms; by default both are 1, as in
AI-Hypercomputer/maxdiffusion, which sums these changes step by step, runs more full
steps and reuses the velocity instead of the residual. The authors multiply the
threshold by the square root of the number of latents (1447.978 for Wan). Here distances
are root mean squares instead, so their thresholds apply at any size. They have a
smaller threshold for the first fifth of the steps; here one is for all.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.changes import check_threshold, forced
from chorus_jax.intra_request.grains import named_grain
from chorus_jax.intra_request.history import History
from chorus_jax.intra_request.scheduled import share
from chorus_jax.nets.control import select, zeros
from chorus_jax.schedulers.flow import TRAIN_STEPS, Schedule


class SenState(NamedTuple):
    """State of a run.

    Attributes:
        latents: the latents of the last computed step, per request.
        past: the residual of the last computed step, per row of the pass.
        reused: the number of steps since the last computed step, per request.
    """

    latents: Latents
    past: History
    reused: Int[Array, " b"]


@dataclass(frozen=True)
class SenCache:
    """Reuses the residual of all layers while the output cannot have changed much.

    Attributes:
        threshold: the bound on the output's change (root mean square) at which a step
            is computed; at 0 every step is.
        by_latents: norms of the output's derivative by the latents, at steps spread
            evenly over a run; one number applies to all steps.
        by_time: norms of the output's derivative by the timestep (from 0 to 1), at
            steps spread evenly over a run.
        first: steps at the start that are computed.
        last: steps at the end that are computed.
        longest: the largest number of successive steps that are not computed.

    Raises:
        ValueError: for numbers out of range, or no norms.
    """

    threshold: float = 0.1
    by_latents: tuple[float, ...] = (1.0,)
    by_time: tuple[float, ...] = (1.0,)
    first: int = 10
    last: int = 1
    longest: int = 3

    extrapolates = False  # not a field (see `extrapolating`): the last residual

    def __post_init__(self) -> None:
        check_threshold(self.threshold, self.first, self.last)
        if not self.by_latents or not self.by_time or self.longest < 0:
            raise ValueError(
                "SenCache has one norm or more by latents and by time, and 0 or more "
                f"steps in a row, got {self}"
            )

    def init(self, forward: Forward) -> SenState:
        """The state before the first step."""
        latents = zeros(jax.eval_shape(lambda: forward.latents))
        past = History.empty(named_grain("residual").shapes(forward), 1)
        count = jnp.zeros(len(jax.tree.leaves(latents)[0]), jnp.int32)
        return SenState(latents, past, count)

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: SenState,
    ) -> tuple[Latents, Held, SenState, Float[Array, " b"]]:
        """Runs all layers, or reuses their last residual (see `StepCache.step`)."""
        last = state.past.steps[: len(i), 0]
        computed = self.decide(i, schedule, forward.latents, last, state)
        here, rows = forward.rows(i), forward.rows(computed)
        velocity, held, residual = named_grain("residual").step(
            forward, held, rows, state.past.values[0]
        )
        past = state.past.pushed(rows, here, residual)
        latents = select(computed, forward.latents, state.latents)
        reused = jnp.where(computed, 0, state.reused + 1)
        return velocity, held, SenState(latents, past, reused), share(computed, i)

    def decide(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        latents: Latents,
        last: Int[Array, " b"],
        state: SenState,
    ) -> Bool[Array, " b"]:
        """Whether each request's layers run in step `i`.

        The norms are taken at the last computed step, `last`.
        """
        times = jnp.array(schedule.timesteps) / TRAIN_STEPS
        passed = jnp.abs(times[i] - times[last])
        by_latents, by_time = (
            jnp.array(spread(norms, schedule.steps))[last]
            for norms in (self.by_latents, self.by_time)
        )
        change = by_latents * moved(latents, state.latents) + by_time * passed
        computed = forced(i, schedule.steps, self.first, self.last) | (last < 0)
        return computed | (state.reused >= self.longest) | (change >= self.threshold)


def moved(new: Latents, old: Latents) -> Float[Array, " b"]:
    """The root mean square of the difference of each request's latents."""
    apart = jax.tree.leaves(jax.tree.map(jnp.subtract, new, old))
    squares = sum((jnp.square(x).reshape(len(x), -1).sum(axis=1) for x in apart), 0.0)
    return jnp.sqrt(squares / sum(x[0].size for x in apart))


def spread(norms: tuple[float, ...], steps: int) -> list[float]:
    """Spreads norms evenly over a run: the nearest one for each of its steps."""
    last = len(norms) - 1
    return [norms[round(i * last / max(steps - 1, 1))] for i in range(steps)]
