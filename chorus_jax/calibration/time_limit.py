"""A limit on the time of a calibration."""

import time


class TimeOverError(Exception):
    """The time limit has passed; results until then are kept."""


class TimeLimit:
    """A point in time, given by the seconds from now."""

    def __init__(self, seconds: float):
        self.end = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Seconds until the limit; negative after it."""
        return self.end - time.monotonic()

    def part(self, share: float) -> "TimeLimit":
        """A limit at which this share of the remaining time has passed."""
        return TimeLimit(share * max(self.seconds_left, 0.0))

    def check(self) -> None:
        """Raises a TimeOverError if the time is over."""
        if self.seconds_left <= 0:
            raise TimeOverError
