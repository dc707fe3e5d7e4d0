"""A fixed list of skipped steps, each with measured weights of the last velocities.

Ours: what a learned multistep solver is to a schedule, this is to a step cache. Which
steps are computed, and how the others follow from them, is chosen together on full runs
of the model, for a number of computed steps (`calibration.step_plans`). Nothing is left
to decide in a run, so its cost is known before it.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.intra_request.history import NONE
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.intra_request.skipping import check_rising
from chorus_jax.schedulers.flow import Schedule

Forecasts = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class PlannedCache(ScheduledCache):
    """Forecasts the velocity at a fixed list of steps by weights of its own for each.

    A run that begins at a later step, or begins anew on the way, lacks some of the
    velocities that the weights are of: until it has them it takes over the last one.

    Attributes:
        steps: the steps that are not computed, rising from 0.
        forecasts: for each of them the weights of the last computed velocities, the
            newest first; none take the last one over.
        of: the number of steps of the runs that they were measured on; 0 for any.

    Raises:
        ValueError: for steps that do not rise from 0, or another number of forecasts.
    """

    steps: tuple[int, ...] = ()
    forecasts: Forecasts = ()
    of: int = 0

    def __post_init__(self) -> None:
        check_rising(self.steps)
        if self.forecasts and len(self.forecasts) != len(self.steps):
            raise ValueError(
                f"expected weights for each of {len(self.steps)} steps, got "
                f"{len(self.forecasts)}"
            )
        if not all(self.forecasts):
            raise ValueError(f"a forecast has 1 weight or more, got {self.forecasts}")

    @property
    def depth(self) -> int:  # type: ignore[override]
        """The most velocities that a forecast is of."""
        return max([1, *map(len, self.forecasts)])

    def computes(self, steps: int) -> tuple[bool, ...]:
        """All steps but those of the list. ValueError for another number of steps."""
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
        """The weights of the step, if the velocities are those that they are of."""
        planned, table = self.tables(schedule.steps)
        held = super().weights(past, i, schedule)
        as_planned = (past == planned[i]) | (table[i] == 0)
        return jnp.where(as_planned.all(axis=1, keepdims=True), table[i], held)

    def tables(
        self, steps: int
    ) -> tuple[Int[Array, "steps k"], Float[Array, "steps k"]]:
        """The steps of the velocities that each forecast is of, and its weights."""
        planned = np.full((steps, self.depth), NONE, np.int32)
        table = np.zeros((steps, self.depth), np.float32)
        table[:, 0] = 1.0
        computed = [i for i, on in enumerate(self.computes(steps)) if on]
        for step, forecast in zip(self.steps, self.forecasts):
            before = [i for i in computed if i < step][-self.depth :][::-1]
            planned[step, : len(before)] = before
            table[step] = np.pad(forecast, (0, self.depth - len(forecast)))
        return jnp.array(planned), jnp.array(table)
