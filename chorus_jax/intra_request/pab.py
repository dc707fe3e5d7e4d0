"""Pyramid attention broadcast: attentions are taken over for a few steps.

Zhao et al., arXiv 2408.12588 (VideoSys). In the middle of a run attention outputs
change little, cross-attention's least: each kind is computed in every n-th step while
the timestep is in a window. Ranges and window are VideoSys's for a model with full
self-attention (CogVideoX: 2 within 100 to 850), and cross-attention's there (6).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from chorus_jax.intra_request.branch_table import BranchTable, layered
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class PAB(BranchTable):
    """Computes branches in every n-th step of a window of timesteps, else in all.

    Attributes:
        self_attention: its n; 1 computes every step.
        cross_attention: its n.
        mlp: that of the feed-forward part.
        above: reuse needs a timestep above this one.
        below: and below this one, of 1000.

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

    def table(
        self, schedule: Schedule, layers: int, names: tuple[str, ...]
    ) -> Bool[np.ndarray, "steps layers branches"]:
        """One schedule for all layers; branches of other names are always computed."""
        table = layered(schedule.steps, layers, names)
        times = np.array(schedule.timesteps)
        within = (times > self.above) & (times < self.below)
        for branch, name in enumerate(names):
            off = np.arange(schedule.steps) % getattr(self, name, 1) != 0
            table[within & off, :, branch] = False
        return table
