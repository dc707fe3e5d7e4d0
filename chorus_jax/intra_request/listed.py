"""Base class of step caches with a list of skipped steps, each with its own weights."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.intra_request.fitting import RunProperties
from chorus_jax.intra_request.history import NONE
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.schedulers.flow import Schedule

Forecasts = tuple[tuple[float, ...], ...]


class ListedSteps(ScheduledCache):
    """A step cache that computes all steps but those on a list.

    A listed step is still computed if there is no value to reuse yet: at the first step
    of a run, and where the tokens change. A run that begins at a later step, or whose
    cache is reset during the run, lacks some of the values that the weights apply to.
    Until it has them, it reuses the last value.

    Attributes:
        steps: the steps that are not computed, 0 or more and rising.
        forecasts: for each of these steps, the weights of the last computed values,
            newest first; () reuses the last value at all of them.
        of: the number of steps in the runs that they were measured on; 0 for any.
    """

    steps: tuple[int, ...]
    forecasts: Forecasts = ()
    of: int = 0

    @property
    def depth(self) -> int:  # type: ignore[override]
        """The number of kept values: as many as the longest forecast has weights."""
        return max([1, *map(len, self.forecasts)])

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for a number of steps that the list is not made for: not
        `of`, or too few."""
        steps = run.schedule.steps
        self.computes(steps)
        if self.steps and self.steps[-1] >= steps:
            raise ValueError(
                f"the list skips step {self.steps[-1]}, but the run has the steps 0 to "
                f"{steps - 1}: leave it out, or give more steps"
            )

    def computes(self, steps: int) -> tuple[bool, ...]:
        """All steps except those on the list.

        Raises:
            ValueError: for another number of steps than `of`.
        """
        if self.of and steps != self.of:
            raise ValueError(
                f"the list of skipped steps was measured on runs of {self.of} steps, "
                f"this one has {steps}: run {self.of}, or measure it on {steps} with "
                "`chorus calibrate-cache`"
            )
        return tuple(i not in self.steps for i in range(steps))

    def weights(
        self, past: Int[Array, "r k"], i: Int[Array, " r"], schedule: Schedule
    ) -> Float[Array, "r k"]:
        """The weights of step `i` if the kept values are from the steps that the
        weights were made for; otherwise the last value is reused."""
        held = super().weights(past, i, schedule)
        if not self.forecasts:
            return held
        made_for, table = map(jnp.array, self.tables(schedule.steps))
        fits = (past == made_for[i]) | (table[i] == 0)
        return jnp.where(fits.all(axis=1, keepdims=True), table[i], held)

    def tables(
        self, steps: int
    ) -> tuple[Int[np.ndarray, "steps k"], Float[np.ndarray, "steps k"]]:
        """For each step, the steps of the values that its forecast uses, and their
        weights."""
        made_for = np.full((steps, self.depth), NONE, np.int32)
        table = np.zeros((steps, self.depth), np.float32)
        table[:, 0] = 1.0
        computed = [i for i, on in enumerate(self.computes(steps)) if on]
        for step, forecast in zip(self.steps, self.forecasts):
            if step >= steps:
                break  # of a policy that is scaled to fewer steps
            before = [i for i in computed if i < step][-self.depth :][::-1]
            made_for[step, : len(before)] = before
            table[step] = np.pad(forecast, (0, self.depth - len(forecast)))
        return made_for, table


def check_rising(steps: tuple[int, ...]) -> None:
    """Raises a ValueError unless these are a tuple of rising numbers, 0 or more."""
    if not isinstance(steps, tuple) or not all(
        i < j for i, j in zip((-1, *steps), steps)
    ):
        raise ValueError(
            f"skipped steps are a tuple of numbers rising from 0, got {steps}"
        )


def check_each(kind: str, values: Sequence[object], steps: tuple[int, ...]) -> None:
    """Raises a ValueError if there are values, but not one for each step."""
    if values and len(values) != len(steps):
        raise ValueError(
            f"expected {kind} for each of {len(steps)} steps, got {len(values)}"
        )
