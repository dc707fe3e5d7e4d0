"""Noise levels of LTX-Video: shifted by the number of tokens, or linear-quadratic.

Source: Lightricks/LTX-Video, ltx_video/schedulers/rf.py; diffusers'
FlowMatchEulerDiscreteScheduler with the settings of its published folders, and
LTXConditionPipeline for the second.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32


@dataclass(frozen=True)
class TokenShift:
    """Even levels, shifted more the more tokens there are, then stretched (0.9.0 and
    0.9.1; the shift is that of SD3, arXiv 2403.03206).

    Attributes:
        tokens: two numbers of tokens.
        shifts: the logarithm of the shift at each; a line through them gives others.
        terminal: the last level before 0, to which levels are stretched; None: they are
            not.
    """

    tokens: tuple[int, int] = (1024, 4096)
    shifts: tuple[float, float] = (0.95, 2.05)
    terminal: float | None = 0.1

    def sigmas(
        self, steps: int, tokens: int, shift: float = 1.0
    ) -> Float32[np.ndarray, " steps"]:
        """The levels of all steps.

        Args:
            steps: their number.
            tokens: those of the video.
            shift: one more factor of the odds of each level.
        """
        (low, high), (least, most) = self.tokens, self.shifts
        slope = (most - least) / (high - low)
        factor = shift * math.exp(tokens * slope + least - slope * low)
        levels: np.ndarray = np.linspace(1.0, 1 / steps, steps).astype(np.float32)
        levels = factor / (factor + (1 / levels - 1))
        if self.terminal is None or levels[-1] == 1:
            return levels
        clean = 1 - levels
        return 1 - clean / (clean[-1] / (1 - self.terminal))


@dataclass(frozen=True)
class LinearQuadratic:
    """Half of the steps linear near noise, then quadratic (0.9.5 and later).

    Attributes:
        threshold: how far the linear half goes.
    """

    threshold: float = 0.025

    def sigmas(
        self, steps: int, tokens: int, shift: float = 1.0
    ) -> Float32[np.ndarray, " steps"]:
        """The levels of all steps (see `TokenShift.sigmas`; tokens do not matter)."""
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
        return levels if shift == 1 else shift * levels / (1 + (shift - 1) * levels)


def schedule_of(
    scheduler: Mapping[str, Any] | None,
) -> TokenShift | LinearQuadratic:
    """The levels that a folder's scheduler_config.json describes; those of 0.9.0 and
    0.9.1 if it came without one."""
    if scheduler is None:
        return TokenShift()
    if not scheduler.get("use_dynamic_shifting", False):
        return LinearQuadratic()
    tokens = (scheduler["base_image_seq_len"], scheduler["max_image_seq_len"])
    shifts = (scheduler["base_shift"], scheduler["max_shift"])
    return TokenShift(tokens, shifts, scheduler.get("shift_terminal"))
