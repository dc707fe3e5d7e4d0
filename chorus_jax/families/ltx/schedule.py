"""Noise levels of LTX-Video: shifted by the number of tokens, or linear-quadratic.

Source: Lightricks/LTX-Video, ltx_video/schedulers/rf.py; diffusers'
FlowMatchEulerDiscreteScheduler with the settings of its published folders, and (for
linear-quadratic levels) LTXConditionPipeline.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32

from chorus_jax.families.ltx_shared.scheduler_file import SchedulerFile
from chorus_jax.schedulers.token_shift import TokenShift, stretched


@dataclass(frozen=True)
class LinearQuadratic:
    """Noise levels that fall linearly near noise in the first half of the steps, then
    quadratically (0.9.5 and later).

    Attributes:
        threshold: how far the level falls in the linear half.
        terminal: the last level before 0, to which the levels are stretched; None for
            no stretching, as in all published models.
    """

    threshold: float = 0.025
    terminal: float | None = None

    def sigmas(
        self, steps: int, tokens: int, shift: float = 1.0
    ) -> Float32[np.ndarray, " steps"]:
        """The noise levels of all steps (see `TokenShift.sigmas`); `tokens` is
        ignored."""
        if steps == 1:
            return np.ones(1, np.float32)
        slow = steps // 2
        fast, remainder = steps - slow, slow - self.threshold * steps
        bend = remainder / (slow * fast**2)
        slope = self.threshold / slow - 2 * remainder / fast**2
        place = np.arange(steps)
        curve = bend * place**2 + slope * place + bend * slow**2
        clean = np.where(place < slow, place * self.threshold / slow, curve)
        levels = (1 - clean).astype(np.float32)
        if shift != 1:
            levels = shift * levels / (1 + (shift - 1) * levels)
        return stretched(levels, self.terminal)


def schedule_of(
    scheduler: Mapping[str, Any] | None,
) -> TokenShift | LinearQuadratic:
    """The noise levels that a folder's scheduler_config.json describes; those of 0.9.0
    and 0.9.1 without such a file. Raises a ValueError for unsupported fields."""
    if scheduler is None:
        return TokenShift()
    file = SchedulerFile.read(scheduler)
    if file.dynamic:
        return TokenShift.stored(scheduler)
    return LinearQuadratic(terminal=file.terminal)
