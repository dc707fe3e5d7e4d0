"""The remaining time of a part of `benchmarks.accelerator`."""

import os
import time
from dataclasses import dataclass, field

from benchmarks.accelerator.running import SECONDS


@dataclass(frozen=True)
class TimeLeft:
    """The time of a part, counted from the creation of this object.

    Attributes:
        seconds: how long the part may take.
        began: when it began, on the monotonic clock.
    """

    seconds: float
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def of_part(cls, default: float) -> "TimeLeft":
        """The time of the part that this process runs.

        `default` seconds if the process was not started as a part.
        """
        return cls(float(os.environ.get(SECONDS, default)))

    def now(self) -> float:
        """The remaining seconds."""
        return self.seconds - (time.monotonic() - self.began)
