"""ProfilingDiT: layers that attend to the background rest between full steps.

GeekGuru123/ProfilingDiT. Offline, layers are told apart by whether their attention
falls on the foreground. Between full steps, whose distance shrinks towards the end,
background layers take over what they computed last. The authors keep a layer's whole
change; here its branches' outputs, so that gates follow the timestep.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from chorus_jax.intra_request.branch_table import BranchTable, layered
from chorus_jax.intra_request.skipping import check_rising
from chorus_jax.schedulers.flow import Schedule

# The authors' layers of the 14B model of Wan 2.1 (of 40), and full steps (of 50).
WAN21_T2V_14B = (0, *range(2, 8), *range(10, 21), *range(25, 33), 37, 38)
FULL = (6, 18, 26, 32, 38, 42, 46, 48)


@dataclass(frozen=True)
class ProfilingDiT(BranchTable):
    """Runs background layers in the first steps and at a list of full ones.

    Attributes:
        background: their numbers, rising from 0; none compute everything.
        full: the full steps, rising.
        first: steps at the start that are full.
        of: the number of steps that the list is for; 0 for any.

    Raises:
        ValueError: for numbers that do not rise from 0.
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
        """Foreground layers always, the others in full steps.

        Raises:
            ValueError: for another number of steps, or a model with fewer layers.
        """
        steps = schedule.steps
        if self.of not in (0, steps):
            raise ValueError(
                f"ProfilingDiT's full steps are of {self.of}, the run has {steps}: "
                "give full steps for it, with of=0"
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
