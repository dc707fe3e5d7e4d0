"""Pyramid attention broadcast (PAB): attention outputs are reused for a few steps.

Zhao et al., arXiv 2408.12588 (VideoSys). In the middle of a run attention outputs
change little, and those of cross-attention least. So each kind of attention is computed
only in every n-th step while the timestep is in a window. The default window (100 to
850) and n are VideoSys's: 2 for full self-attention (CogVideoX), 6 for cross-attention.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from chorus_jax.intra_request.branch_table import BranchTable, layered
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class PAB(BranchTable):
    """Computes each branch in every n-th step within a window of timesteps, and in
    every step outside it.

    Attributes:
        self_attention: n for self-attention; 1 computes it in every step.
        cross_attention: n for cross-attention.
        mlp: n for the feed-forward branch.
        above: lower end of the window (exclusive), in timesteps from 0 to 1000.
        below: upper end of the window (exclusive).

    Raises:
        ValueError: for an n below 1.
    """

    self_attention: int = 2
    cross_attention: int = 6
    mlp: int = 1
    above: float = 100.0
    below: float = 850.0

    def __post_init__(self) -> None:
        if min(self.self_attention, self.cross_attention, self.mlp) < 1:
            raise ValueError(
                f"a branch is computed in every n-th step, n 1 or more, got {self}"
            )

    @property
    def intervals(self) -> Mapping[str, int]:
        """The n of each branch that may be reused, by the branch's name."""
        return {
            "self_attention": self.self_attention,
            "cross_attention": self.cross_attention,
            "mlp": self.mlp,
        }

    def table(
        self, schedule: Schedule, layers: int, names: tuple[str, ...]
    ) -> Bool[np.ndarray, "steps layers branches"]:
        """The computed steps, the same for all layers; branches with other names are
        always computed."""
        table = layered(schedule.steps, layers, names)
        times = np.array(schedule.timesteps)
        within = (times > self.above) & (times < self.below)
        for branch, name in enumerate(names):
            off = np.arange(schedule.steps) % self.intervals.get(name, 1) != 0
            table[within & off, :, branch] = False
        return table
