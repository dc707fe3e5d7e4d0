"""ERTACache: a fixed list of reused steps, each with a measured correction factor.

arXiv 2508.21091 profiles offline which steps to reuse, rescales the length of a reused
step, and corrects the reused output by a linear model in closed form. We do not know
its formulas and constants. Ours are derived: under Euler's method rescaling the step is
rescaling the velocity, so both corrections become one factor per step, the
least-squares factor from the last computed velocity to the true one. The caller
measures the list and the factors.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.intra_request.history import NONE
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.intra_request.skipping import check_rising
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class ERTACache(ScheduledCache):
    """Reuses the last velocity, times a factor, at a fixed list of steps.

    Attributes:
        steps: the numbers of the reused steps, 0 or more and rising.
        gains: the factor of each of these steps; () for 1 each.
        of: the number of steps in the runs that they were measured on; 0 for any.

    Raises:
        ValueError: for steps that are negative or do not rise, or if there is not one
            factor per step.
    """

    steps: tuple[int, ...]
    gains: tuple[float, ...] = ()
    of: int = 0

    def __post_init__(self) -> None:
        check_rising(self.steps)
        if self.gains and len(self.gains) != len(self.steps):
            raise ValueError(
                f"expected a gain for each of {len(self.steps)} steps, got "
                f"{len(self.gains)}"
            )

    def computes(self, steps: int) -> tuple[bool, ...]:
        """All steps except those on the list.

        Raises:
            ValueError: for another number of steps than `of`.
        """
        if self.of and steps != self.of:
            raise ValueError(
                f"ERTACache's steps were measured on runs of {self.of} steps, this one "
                f"has {steps}: run {self.of}, or give steps that were measured on "
                f"{steps}"
            )
        return tuple(i not in self.steps for i in range(steps))

    def weights(
        self, past: Int[Array, "r k"], i: Int[Array, " r"], schedule: Schedule
    ) -> Float[Array, "r k"]:
        """The factor of the last velocity at step `i`.

        A factor was measured for the velocity of the last step that is not on the list.
        After a start in the middle of a run, another one may be the last: it is reused
        unchanged.
        """
        table = dict(zip(self.steps, self.gains))
        gains = jnp.array([table.get(j, 1.0) for j in range(schedule.steps)])
        last, before = NONE, []
        for step, on in enumerate(self.computes(schedule.steps)):
            before.append(last)
            last = step if on else last
        as_measured = past[:, 0] == jnp.array(before)[i]
        return jnp.where(as_measured, gains[i], 1.0)[:, None].astype(jnp.float32)
