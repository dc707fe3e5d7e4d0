"""A limit on the time of a calibration."""

import time


class TimeOverError(Exception):
    """The time is over; what is measured so far is kept."""


class TimeLimit:
    """Ends after so many seconds."""

    def __init__(self, seconds: float):
        self.end = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Seconds, negative if it is over."""
        return self.end - time.monotonic()

    def part(self, share: float) -> "TimeLimit":
        """The time limit at which this share of the time that is left has passed."""
        return TimeLimit(share * max(self.seconds_left, 0.0))

    def check(self) -> None:
        """TimeOverError if the time is over."""
        if self.seconds_left <= 0:
            raise TimeOverError
