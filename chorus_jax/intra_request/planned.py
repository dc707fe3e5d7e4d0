"""A fixed list of skipped steps, each with its own weights of the values before it.

This method is ours; it is similar to a learned multistep solver. For a given number of
computed steps, `calibration.step_plans` chooses from full runs of the model which steps
are computed, and how all other steps are forecast. Nothing is decided during a run, so
its cost is known before it.
"""

from dataclasses import dataclass

from chorus_jax.intra_request.grains import named_grain
from chorus_jax.intra_request.listed import (
    Forecasts,
    ListedSteps,
    check_each,
    check_rising,
)


@dataclass(frozen=True)
class PlannedCache(ListedSteps):
    """Forecasts a value at a fixed list of steps, each with its own weights.

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
        check_each("weights", self.forecasts, self.steps)
        if not all(self.forecasts):
            raise ValueError(f"a forecast has 1 weight or more, got {self.forecasts}")
        named_grain(self.grain)
