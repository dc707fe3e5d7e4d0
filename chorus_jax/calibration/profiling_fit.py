"""Fits ProfilingDiT's background layers and full steps to full runs.

The authors (arXiv 2504.03140) class a layer by whether its attention lies on the
foreground, which a segmentation model (SAM2) marks. Without one, the rule here is ours:
background layers are those whose branches' outputs change least between a full step and
the steps that would reuse them. A change is relative to the output's mean magnitude:
outputs of layers and branches differ much in size, and gates scale them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chorus_jax.calibration.branch_fit import BranchSimilarity
from chorus_jax.intra_request.profiling import FULL, ProfilingDiT

FIRST, STEPS = ProfilingDiT.first, ProfilingDiT.of  # what the authors' list is for
SHARES = (2 / 3, 1 / 2, 1 / 3)  # of background layers; the authors have 27 of 40


@dataclass(frozen=True)
class LayerProfile:
    """The layers of a model by how little they change, and the full steps of its runs.

    Attributes:
        order: the numbers of all layers, the one that changes least first.
        first: the number of steps at the start that run all layers.
        full: the later steps that run all layers.
        steps: the number of steps of a run.
    """

    order: tuple[int, ...]
    first: int
    full: tuple[int, ...]
    steps: int

    @classmethod
    def of(cls, similarity: BranchSimilarity) -> "LayerProfile":
        """The profile of the runs that these similarities were measured in.

        Two experts have the same background layers: the changes in both are added.
        """
        changes, switch = similarity.changes, similarity.switch
        steps = changes.shape[-1]
        first, full = full_steps(steps, switch)
        i = np.arange(steps)
        whole = (i < first) | np.isin(i, full)
        last = np.maximum.accumulate(np.where(whole, i, 0))
        reused = changes[:, :, last[~whole], i[~whole]]
        order = np.argsort(reused.sum(axis=(1, 2)), kind="stable")
        return cls(tuple(order.tolist()), first, full, steps)

    @property
    def resting(self) -> int:
        """The number of steps in which background layers reuse their outputs."""
        return self.steps - self.first - len(self.full)

    def setting(self, count: int) -> ProfilingDiT:
        """ProfilingDiT with the `count` layers that change least as background."""
        background = tuple(sorted(self.order[:count]))
        return ProfilingDiT(background, self.full, self.first, self.steps)

    def settings(self) -> Iterator[ProfilingDiT]:
        """The settings to try, from bold to careful; none for so few steps that all of
        them are full."""
        if not self.resting:
            return
        counts = (round(share * len(self.order)) for share in SHARES)
        yield from (self.setting(count) for count in dict.fromkeys(counts) if count)

    def computed(self, count: int) -> float:
        """The share of all branches that is computed with `count` background layers."""
        return 1 - self.resting * count / (self.steps * len(self.order))


def full_steps(steps: int, switch: int = 0) -> tuple[int, tuple[int, ...]]:
    """The steps of a run that run all layers: the authors' list, scaled.

    The first step of a second expert is added, since it has nothing to reuse.

    Args:
        steps: the number of steps of the run.
        switch: the first step of a second expert; 0 with one transformer.

    Returns:
        The number of such steps at the start, and the later ones, rising.
    """
    first = max(1, round(FIRST * steps / STEPS))
    later = {switch, *(round(x * steps / STEPS) for x in FULL)}
    return first, tuple(sorted(x for x in later if first <= x < steps))
