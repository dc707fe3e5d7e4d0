"""ERTACache: a fixed list of reused steps whose reuse is corrected by measurement.

arXiv 2508.21091 finds by offline profiling which steps to reuse, scales the distance
that a reused step goes, and corrects the reused output by a linear model in closed
form. Its formulas and constants are not known to us. Ours, derived: under Euler's rule
a factor of the distance is a factor of the velocity, so both corrections are one number
per step, the least-squares factor from the last computed velocity to the true one.
List and factors are the caller's to measure.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.intra_request.skipping import check_rising
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class ERTACache(ScheduledCache):
    """Takes over the last velocity, times a factor, at a fixed list of steps.

    Attributes:
        steps: their numbers, rising from 0.
        gains: the factor of each; none are 1 each.
        of: the number of steps of the runs that they were measured on; 0 for any.

    Raises:
        ValueError: for steps that do not rise from 0, or another number of factors.
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
        """All steps but those of the list. ValueError for another number of steps."""
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
        """The factor of the last velocity."""
        table = dict(zip(self.steps, self.gains))
        gains = jnp.array([table.get(j, 1.0) for j in range(schedule.steps)])
        return gains[i][:, None].astype(jnp.float32)
