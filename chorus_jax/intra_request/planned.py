"""A fixed list of skipped steps, each with its own weights of the values before it.

This method is ours; it is similar to a learned multistep solver. For a given number of
computed steps, `calibration.step_plans` chooses from full runs of the model which steps
are computed, and how all other steps are forecast. Nothing is decided during a run, so
its cost is known before it.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.intra_request.grains import named_grain
from chorus_jax.intra_request.history import NONE
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.intra_request.skipping import check_rising
from chorus_jax.schedulers.flow import Schedule

Forecasts = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class PlannedCache(ScheduledCache):
    """Forecasts a value at a fixed list of steps, each with its own weights.

    A run that begins at a later step, or whose cache is reset during the run, lacks
    some of the values that the weights apply to. Until it has them, it reuses the last
    value.

    Attributes:
        steps: the steps that are not computed, 0 or more and rising.
        forecasts: for each of these steps, the weights of the last computed values,
            newest first; () reuses the last value at all of them.
        of: the number of steps in the runs that they were measured on; 0 for any.
        grain: the value that is forecast, `velocity`, `residual` or `branches`.

    Raises:
        ValueError: for steps that are negative or do not rise, if there is not one
            forecast per step, for a forecast without weights, or an unknown grain.
    """

    steps: tuple[int, ...] = ()
    forecasts: Forecasts = ()
    of: int = 0
    grain: str = "velocity"

    def __post_init__(self) -> None:
        check_rising(self.steps)
        if self.forecasts and len(self.forecasts) != len(self.steps):
            raise ValueError(
                f"expected weights for each of {len(self.steps)} steps, got "
                f"{len(self.forecasts)}"
            )
        if not all(self.forecasts):
            raise ValueError(f"a forecast has 1 weight or more, got {self.forecasts}")
        named_grain(self.grain)

    @property
    def depth(self) -> int:  # type: ignore[override]
        """The number of kept values: as many as the longest forecast has weights."""
        return max([1, *map(len, self.forecasts)])

    def computes(self, steps: int) -> tuple[bool, ...]:
        """All steps except those on the list.

        Raises:
            ValueError: for another number of steps than `of`.
        """
        if self.of and steps != self.of:
            raise ValueError(
                f"the plan of steps was measured on runs of {self.of} steps, this one "
                f"has {steps}: run {self.of}, or measure it on {steps} with `chorus "
                "calibrate-cache`"
            )
        return tuple(i not in self.steps for i in range(steps))

    def weights(
        self, past: Int[Array, "r k"], i: Int[Array, " r"], schedule: Schedule
    ) -> Float[Array, "r k"]:
        """The weights of step `i` if the kept values are from the steps that the
        weights were made for; otherwise the last value is reused."""
        planned, table = self.tables(schedule.steps)
        held = super().weights(past, i, schedule)
        as_planned = (past == planned[i]) | (table[i] == 0)
        return jnp.where(as_planned.all(axis=1, keepdims=True), table[i], held)

    def tables(
        self, steps: int
    ) -> tuple[Int[Array, "steps k"], Float[Array, "steps k"]]:
        """For each step, the steps of the values that its forecast uses, and their
        weights."""
        planned = np.full((steps, self.depth), NONE, np.int32)
        table = np.zeros((steps, self.depth), np.float32)
        table[:, 0] = 1.0
        computed = [i for i, on in enumerate(self.computes(steps)) if on]
        for step, forecast in zip(self.steps, self.forecasts):
            before = [i for i in computed if i < step][-self.depth :][::-1]
            planned[step, : len(before)] = before
            table[step] = np.pad(forecast, (0, self.depth - len(forecast)))
        return jnp.array(planned), jnp.array(table)
