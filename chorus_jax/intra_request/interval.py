"""Base class of step caches that compute every n-th step and forecast the rest."""

from dataclasses import dataclass

from chorus_jax.intra_request.grains import named_grain
from chorus_jax.intra_request.scheduled import ScheduledCache


@dataclass(frozen=True)
class IntervalCache(ScheduledCache):
    """Computes every `interval`-th step; subclasses define the forecast between.

    Attributes:
        interval: steps from one computed step to the next; 1 computes every step.
        first: steps at the start that are computed.
        last: steps at the end that are computed.
        grain: the value that is forecast, `velocity`, `residual` or `branches`.

    Raises:
        ValueError: for an interval below 1, negative numbers of steps, or an unknown
            grain.
    """

    interval: int = 5
    first: int = 1
    last: int = 0
    grain: str = "velocity"

    def __post_init__(self) -> None:
        if self.interval < 1 or min(self.first, self.last) < 0:
            raise ValueError(
                "expected an interval of 1 step or more and 0 or more forced steps, "
                f"got interval {self.interval}, first {self.first}, last {self.last}"
            )
        named_grain(self.grain)

    def computes(self, steps: int) -> tuple[bool, ...]:
        """The first steps, then every `interval`-th step, and the last steps.

        The interval is counted as in TaylorSeer: after the first steps, step
        `first - 1 + interval` is the next that is computed.
        """
        before = max(self.first, 1) - 1
        return tuple(
            i <= before or i >= steps - self.last or (i - before) % self.interval == 0
            for i in range(steps)
        )
