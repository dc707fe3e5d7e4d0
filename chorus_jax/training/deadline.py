"""A learning rate that falls to zero when time is up, not after a number of steps.

It is used if a machine is available for a given time, and the number of steps that fit
into this time is unknown.
"""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Deadline:
    """The time limit of a training.

    Attributes:
        seconds: how long it may take, from `began` on.
        decay: the share of that time over which the rate falls to zero, at its end.
        began: when it began, on the monotonic clock; by default now.
    """

    seconds: float
    decay: float = 0.3
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        if self.seconds <= 0 or not 0 < self.decay <= 1:
            raise ValueError(
                "a deadline is more than 0 seconds away and its decay within 0 and 1; "
                f"got {self.seconds} seconds and a decay of {self.decay}"
            )

    def rate(self) -> float:
        """The share of the learning rate now; 0 when time is up."""
        ahead = 1 - (time.monotonic() - self.began) / self.seconds
        return min(1.0, max(0.0, ahead / self.decay))
