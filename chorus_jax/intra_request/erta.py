"""ERTACache: a fixed list of reused steps, each with a measured correction factor.

arXiv 2508.21091 profiles offline which steps to reuse, rescales the length of a reused
step, and corrects the reused output by a linear model in closed form. We do not know
its formulas and constants. Ours are derived: under Euler's method rescaling the step is
rescaling the velocity, so both corrections become one factor per step, the
least-squares factor from the last computed velocity to the true one. The caller
measures the list and the factors.
"""

from dataclasses import dataclass

from chorus_jax.intra_request.listed import (
    Forecasts,
    ListedSteps,
    check_each,
    check_rising,
)


@dataclass(frozen=True)
class ERTACache(ListedSteps):
    """Reuses the last velocity, times a factor, at a fixed list of steps.

    A factor was measured for the velocity of the last step that is not on the list.
    After a start in the middle of a run, another one may be the last: it is reused
    unchanged.

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
        check_each("a gain", self.gains, self.steps)

    @property
    def forecasts(self) -> Forecasts:  # type: ignore[override]
        """The factors as weights of the last value."""
        return tuple((gain,) for gain in self.gains)
