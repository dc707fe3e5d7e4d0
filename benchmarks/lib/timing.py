"""Fair timing: the compared functions run in turns; median and spread are recorded."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tqdm import tqdm


@dataclass(frozen=True)
class Timing:
    """The times of one function over the rounds of a comparison.

    Attributes:
        seconds: the seconds of each round.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds' seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, as a share of the median."""
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / 2 / self.median


def interleaved(
    things: Mapping[str, Callable[[], object]],
    rounds: int,
    label: str,
    before: Callable[[str], object] = lambda name: None,
) -> dict[str, Timing]:
    """Times every function once per round, after one round that does not count.

    Args:
        things: the functions by name; each must return only when its work is done.
        rounds: the number of timed rounds.
        label: the label of the progress bar.
        before: called with a function's name before each of its calls; not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in things}
    for counted in tqdm([False] + [True] * rounds, desc=label, leave=False):
        for name, thing in things.items():
            before(name)
            began = time.perf_counter()
            thing()
            if counted:
                seconds[name].append(time.perf_counter() - began)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}
