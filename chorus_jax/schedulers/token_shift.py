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
        if not all(map(_is_number, values)) or values[0] == values[1]:
            fields = dict(zip(names, values, strict=True))
            raise ValueError(
                "the scheduler file shifts levels by the number of tokens, which needs "
                f"two numbers of tokens and two shifts: got {fields}"
            )
        low, high, least, most = values
        return cls((low, high), (least, most), terminal_of(scheduler))

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
        return stretched(levels, self.terminal)


def terminal_of(scheduler: Mapping[str, Any]) -> float | None:
    """The `shift_terminal` of a scheduler_config.json; None if it has none, or 0, which
    diffusers reads as none. Raises a ValueError unless it is a number below 1."""
    terminal = scheduler.get("shift_terminal") or None
    if terminal is None or _is_number(terminal) and 0 < terminal < 1:
        return terminal
    raise ValueError(
        "the scheduler file stretches the noise levels, which needs a last level below "
        f"1: got shift_terminal={terminal!r}"
    )


def stretched(
    levels: Float32[np.ndarray, " steps"], terminal: float | None
) -> Float32[np.ndarray, " steps"]:
    """Noise levels stretched linearly from 1 on, so that the last one is `terminal`;
    None leaves them as they are, and so does a single level of 1."""
    if terminal is None or levels[-1] == 1:
        return levels
    clean = 1 - levels
    return 1 - clean / (clean[-1] / (1 - terminal))


def _is_number(value: Any) -> bool:
    known = isinstance(value, Real) and not isinstance(value, bool)
    return known and math.isfinite(float(value))
