"""Noise levels whose shift depends on the number of tokens (LTX-Video, LTX-2).

Source: Lightricks/LTX-Video, ltx_video/schedulers/rf.py; the shift is SD3's (arXiv
2403.03206).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from jaxtyping import Float32


@dataclass(frozen=True)
class TokenShift:
    """Evenly spaced noise levels, shifted more for more tokens, then stretched.

    Used by LTX-Video 0.9.0 and 0.9.1 and by LTX-2.

    Attributes:
        tokens: two numbers of tokens.
        shifts: the logarithm of the shift at each; it is linear in the number of
            tokens.
        terminal: the last level before 0, to which the levels are stretched; None for
            no stretching.
    """

    tokens: tuple[int, int] = (1024, 4096)
    shifts: tuple[float, float] = (0.95, 2.05)
    terminal: float | None = 0.1

    @classmethod
    def stored(cls, scheduler: Mapping[str, Any]) -> "TokenShift":
        """The shift that a scheduler_config.json with `use_dynamic_shifting` describes.

        Raises:
            ValueError: for fields that are missing or out of range, naming them.
        """
        names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
        values: list[Any] = [scheduler.get(name) for name in names]
        terminal = scheduler.get("shift_terminal")
        numbers = [x for x in (*values, terminal or 0.0) if _is_number(x)]
        fits = len(numbers) == 5 and values[0] != values[1] and 0 <= numbers[-1] < 1
        if not fits:
            fields = {name: scheduler.get(name) for name in (*names, "shift_terminal")}
            raise ValueError(
                "the scheduler file shifts levels by the number of tokens, which needs "
                "two numbers of tokens, two shifts and a last level below 1: got "
                f"{fields}"
            )
        low, high, least, most = values
        return cls((low, high), (least, most), terminal)

    def sigmas(
        self, steps: int, tokens: int, shift: float = 1.0
    ) -> Float32[np.ndarray, " steps"]:
        """The noise levels of all steps.

        Args:
            steps: number of steps.
            tokens: number of the video's tokens.
            shift: a further shift, which multiplies the shift that depends on tokens.
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


def _is_number(value: Any) -> bool:
    known = isinstance(value, Real) and not isinstance(value, bool)
    return known and math.isfinite(float(value))
