"""HarmoniCa: a trained router says which branch of which layer runs in each step.

ModelTC/HarmoniCa. A router has a score from 0 to 1 per step and layer; at sampling a
layer is computed where its score is above a threshold (the authors' is .1), else its
last output is reused. So the table is fixed before the run. The authors train it with
the sampler unrolled, for image models; no scores for video models are published. Here
each branch of a layer has scores of its own; `calibration.router` trains them.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from chorus_jax.intra_request.branch_table import BranchTable, check_fits, layered
from chorus_jax.schedulers.flow import Schedule

Scores = tuple[tuple[tuple[float, ...], ...], ...]  # by step, layer and branch


@dataclass(frozen=True)
class HarmoniCa(BranchTable):
    """Computes the branches whose score is above a threshold.

    Attributes:
        scores: the router's scores by step, layer and branch; () computes everything.
        threshold: the score above which a branch is computed.
    """

    scores: Scores = ()
    threshold: float = 0.1

    def table(
        self, schedule: Schedule, layers: int, names: tuple[str, ...]
    ) -> Bool[np.ndarray, "steps layers branches"]:
        """The scores above the threshold; everything in the first step.

        Raises:
            ValueError: for another number of steps, layers or branches.
        """
        table = layered(schedule.steps, layers, names)
        if not self.scores:
            return table
        scores = np.array(self.scores)
        check_fits("HarmoniCa's scores", scores.shape, table.shape)
        table[1:] = scores[1:] > self.threshold
        return table
