"""What videos lose against the full runs of the same targets, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from benchmarks.lib.judged import Scores

RELIABLE = ("accuracy_reliable", "changed_reliable")  # see `chorus_scores.of_reliable`
ACCURACIES = ("accuracy", "accuracy_changed", *RELIABLE)
LOSSES = (*ACCURACIES, "detail")


@dataclass(frozen=True)
class Loss:
    """A mean loss over targets, and its standard error: of accuracy as a difference, of
    detail as a share of the full runs'. Negative where it is a gain."""

    mean: float
    error: float


def losses(ours: Sequence[Scores], full: Sequence[Scores]) -> dict[str, Loss]:
    """The losses of the same targets in the same order, by figure; those that no target
    has are left out."""
    return {
        name: Loss(float(lost.mean()), _error(lost))
        for name, lost in each_loss(ours, full).items()
    }


def each_loss(
    ours: Sequence[Scores], full: Sequence[Scores]
) -> dict[str, Float[np.ndarray, " n"]]:
    """The losses of each target that has the figure, in the targets' order."""
    lost_of = {}
    for name in LOSSES:
        pairs = [
            (theirs[name], mine[name])
            for mine, theirs in zip(ours, full, strict=True)
            if name in mine and name in theirs
        ]
        if pairs:
            before, after = np.array(pairs, float).T
            scale = 1.0 if name in ACCURACIES else max(before.mean(), 1e-9)
            lost_of[name] = (before - after) / scale
    return lost_of


def _error(values: Float[np.ndarray, " n"]) -> float:
    """Of the mean; infinite for one value, which says nothing of it."""
    count = len(values)
    return float(values.std(ddof=1) / count**0.5) if count > 1 else float("inf")
