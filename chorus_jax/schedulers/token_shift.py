"""Noise levels that are shifted by the number of tokens (LTX-Video, LTX-2).

Source: Lightricks/LTX-Video, ltx_video/schedulers/rf.py; the shift is that of SD3
(arXiv 2403.03206).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32


@dataclass(frozen=True)
class TokenShift:
    """Even levels, shifted more the more tokens there are, then stretched (0.9.0,
    0.9.1 and LTX-2).

    Attributes:
        tokens: two numbers of tokens.
        shifts: the logarithm of the shift at each; a line through them gives others.
        terminal: the last level before 0; None for what the shift makes it.
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
