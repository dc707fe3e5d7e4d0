"""ProfilingDiT: layers that attend to the background run in some steps only.

Ma et al., arXiv 2504.03140, and GeekGuru123/ProfilingDiT. Offline profiling sorts
layers by whether they attend to the foreground or the background. Full steps run all
layers, and become more frequent towards the end; between them background layers reuse
their last output. The authors reuse a layer's whole residual; here the outputs of its
branches are reused, so that their gates still depend on the timestep.
`calibration.profiling_fit` sorts the layers of other models, by a rule of ours.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from chorus_jax.intra_request.branch_table import BranchTable, layered
from chorus_jax.intra_request.listed import check_rising
from chorus_jax.schedulers.flow import Schedule

# The authors' background layers of Wan 2.1 14B (of 40 layers), and their full steps (of
# 50). Their code for Wan runs every sixth step in full instead.
WAN21_T2V_14B = (0, *range(2, 8), *range(10, 21), *range(25, 33), 37, 38)
FULL = (6, 18, 26, 32, 38, 42, 46, 48)


@dataclass(frozen=True)
class ProfilingDiT(BranchTable):
    """Runs background layers only in the first steps and at a list of full steps.

    Attributes:
        background: the numbers of the background layers, 0 or more and rising; ()
            computes everything.
        full: the numbers of the full steps, 0 or more and rising.
        first: the number of steps at the start that are full steps too.
        of: the number of steps in a run that `full` is for; 0 for any.

    Raises:
        ValueError: for layers or steps that are negative or do not rise.
    """

    background: tuple[int, ...]
    full: tuple[int, ...] = FULL
    first: int = 6
    of: int = 50

    def __post_init__(self) -> None:
        check_rising(self.background)
        check_rising(self.full)

    def table(
        self, schedule: Schedule, layers: int, names: tuple[str, ...]
    ) -> Bool[np.ndarray, "steps layers branches"]:
        """Foreground layers are computed in every step, background layers in full
        steps.

        Raises:
            ValueError: for another number of steps, or a model with fewer layers.
        """
        steps = schedule.steps
        if self.of not in (0, steps):
            raise ValueError(
                f"ProfilingDiT's full steps are of {self.of}, the run has {steps}: "
                f"give full steps for it, with of=0, or measure it on {steps} with "
                "`chorus calibrate-cache`"
            )
        if self.background and self.background[-1] >= layers:
            raise ValueError(
                f"the model has {layers} layers, got background layer "
                f"{self.background[-1]}"
            )
        table, i = layered(steps, layers, names), np.arange(steps)
        resting = (i >= self.first) & ~np.isin(i, self.full)
        table[np.ix_(resting, np.array(self.background, int))] = False
        return table
