"""Mean losses of quality figures compared with full runs, with standard errors."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, stdtrit

Scores = dict[str, float]  # one video's figures by name; higher is better


@dataclass(frozen=True)
class Loss:
    """A mean loss over targets; negative if quality rose.

    Attributes:
        mean: the mean loss, in the figure's unit, or as a share of the full runs' mean.
        error: the standard error of the mean, estimated from the targets' spread.
        targets: the number of targets; infinite for an error that is exact.
    """

    mean: float
    error: float
    targets: float = math.inf

    def least(self, errors: float) -> float:
        """The lower end of the mean's range.

        Args:
            errors: the range's half width in standard errors, for many targets. Few
                targets often have too small a spread by chance, so the range is then
                wider: that of Student's distribution with the same probability.
        """
        if not errors:
            return self.mean
        if self.error == math.inf:
            return -math.inf
        return self.mean - float(stdtrit(self.targets - 1, ndtr(errors))) * self.error


@dataclass(frozen=True)
class LossLimits:
    """The figures that a policy is judged by, and their limits.

    Attributes:
        allowed: the most that a tier's hits may lose on average, above 0, by figure.
        relative: the figures whose loss is a share of the full runs' mean.
        overall: the most that the hits of all tiers together may lose on average, by
            figure; a figure of `allowed` that is not here has no such limit.
    """

    allowed: Mapping[str, float] = field(default_factory=dict)
    relative: frozenset[str] = frozenset()
    overall: Mapping[str, float] = field(default_factory=dict)


def losses(
    ours: Sequence[Scores], full: Sequence[Scores], limits: LossLimits
) -> dict[str, Loss]:
    """The mean loss of each figure; figures that no target has are left out.

    Args:
        ours: scores of each target.
        full: scores of the targets' full runs, in the same order.
        limits: names the figures to compare.
    """
    lost = loss_per_target(ours, full, limits)
    return {name: mean_loss(values) for name, values in lost.items()}


def loss_per_target(
    ours: Sequence[Scores], full: Sequence[Scores], limits: LossLimits
) -> dict[str, Float[np.ndarray, " n"]]:
    """By figure, the loss of each target that has it, in the targets' order."""
    losses_by_name = {}
    for name in limits.allowed:
        pairs = [
            (reference[name], scores[name])
            for scores, reference in zip(ours, full, strict=True)
            if name in scores and name in reference
        ]
        if pairs:
            before, after = np.array(pairs, float).T
            scale = max(before.mean(), 1e-9) if name in limits.relative else 1.0
            losses_by_name[name] = (before - after) / scale
    return losses_by_name


def mean_loss(values: Float[np.ndarray, " n"]) -> Loss:
    """The mean of losses of single targets; the error of a single one is infinite."""
    count = len(values)
    error = float(values.std(ddof=1) / count**0.5) if count > 1 else math.inf
    return Loss(float(values.mean()), error, float(count))
