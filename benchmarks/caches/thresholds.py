"""Finds thresholds with which a step cache computes a wanted number of steps."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from chorus_jax.calibration.step_plans import StepPlanner
from chorus_jax.engine import Pipeline
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.intra_request.mag import MagCache
from chorus_jax.intra_request.tea import TeaCache
from chorus_jax.request import Request

HALVINGS = 40


@dataclass(frozen=True, eq=False)
class Foreseen:
    """Data about a model's steps that are known before a run.

    Attributes:
        changes: the relative change of the timestep's embedding at each step from the
            second on.
        ratios: MagCache's magnitude ratios, one per step.
        planner: a planner fitted to the velocities of full runs; None if it was not
            needed.
    """

    changes: np.ndarray
    ratios: tuple[float, ...]
    planner: StepPlanner | None = None

    def tea(self, steps: int) -> TeaCache:
        """The TeaCache that computes at most `steps` steps.

        No coefficients are published for these weights, so the polynomial is the
        identity.
        """
        threshold = lowest(self.by_tea, float(self.changes.sum()), steps)
        return TeaCache(threshold, (1.0, 0.0))

    def by_tea(self, threshold: float) -> int:
        """The number of steps that TeaCache computes with a threshold."""
        count, total = 2, 0.0  # the first and the last
        for value in self.changes[:-1]:
            total += value
            if total >= threshold:
                count, total = count + 1, 0.0
        return count

    def mag(self, steps: int) -> MagCache:
        """The MagCache that computes at most `steps` steps.

        It reuses at most 6 steps in a row.
        """
        make = lambda threshold: MagCache(threshold, self.ratios, 6, 0.1)
        by_mag = lambda threshold: sum(make(threshold).computes(len(self.ratios)))
        return make(lowest(by_mag, 4.0, steps))


def embedding_changes(pipeline: Pipeline, request: Request) -> np.ndarray:
    """The relative change of the timestep's embedding at each step but the first."""
    conditions, _ = pipeline.condition([request])
    signals = np.asarray(conditions[TRANSFORMER].times.head)
    return np.abs(np.diff(signals, axis=0)).mean(1) / np.abs(signals[:-1]).mean(1)


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
