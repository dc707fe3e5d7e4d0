"""Finds thresholds with which a step cache computes a wanted share of the steps."""

from collections.abc import Callable

HALVINGS = 40
TRIALS = 5  # the most trial runs in the search for a threshold
NEAR = 0.03  # a trial this near to the wanted share ends the search


def lowest(computed: Callable[[float], int], high: float, steps: int) -> float:
    """The lowest threshold with which at most `steps` steps are computed.

    Args:
        computed: returns the number of computed steps for a threshold.
        high: an upper bound of the threshold.
        steps: the wanted number of computed steps.

    Returns:
        The threshold, increased slightly and rounded to four digits.
    """
    low = 0.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if computed(middle) > steps else (low, middle)
    return float(f"{high * 1.0005:.4g}")


def threshold_at(
    computed: Callable[[float], float], low: float, high: float, share: float
) -> float:
    """A threshold with which about a given share of the full run's work is computed.

    Bisects the logarithm of the threshold, and returns the trial nearest to the share.

    Args:
        computed: runs with a threshold; returns the share that was computed.
        low: a threshold with which a larger share is computed.
        high: a threshold with which a smaller share is computed.
        share: the wanted share, 0 to 1.
    """
    tried: dict[float, float] = {}
    for _ in range(TRIALS):
        middle = float(f"{(low * high) ** 0.5:.3g}")
        tried[middle] = computed(middle)
        if abs(tried[middle] - share) <= NEAR:
            break
        low, high = (middle, high) if tried[middle] > share else (low, middle)
    return min(tried, key=lambda threshold: abs(tried[threshold] - share))
