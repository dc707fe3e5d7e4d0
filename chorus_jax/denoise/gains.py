"""Token-guided attention amplification: how much, at each step and for each token.

Chorus scales in cross-attention the keys of the differing tokens and its whole output
(arXiv 2604.04451, eq. 4); both fall as denoising proceeds and are smaller for better
matches. That much is the paper's. Its functions are not known to us: those here, which
are exactly 1 outside stage 2, are ours.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32

from chorus_jax.denoise.stages import StagePlan


@runtime_checkable
class Schedule(Protocol):
    """A gain in stage 2, by the progress through it and the score of the match.

    Both are 0 to 1.
    """

    def __call__(self, progress: float, score: float) -> float:
        """The gain, which falls with both or stays."""


@dataclass(frozen=True)
class Constant:
    """The same gain, 1 or more (else a ValueError), in all of stage 2."""

    gain: float

    def __post_init__(self) -> None:
        _check(self.gain)

    def __call__(self, progress: float, score: float) -> float:
        """The gain."""
        return self.gain


@dataclass(frozen=True)
class Decay:
    """From `gain` (1 or more, else a ValueError) at the start of stage 2 and a score of
    0 down to 1 at its end, and at a score of 1.
    """

    gain: float

    def __post_init__(self) -> None:
        _check(self.gain)

    def __call__(self, progress: float, score: float) -> float:
        """The gain: falls evenly with the progress and with the score."""
        return 1 + (self.gain - 1) * (1 - progress) * (1 - score)


class Gains(NamedTuple):
    """Factors in cross-attention: of each text token's keys, and of the output."""

    key: Float32[np.ndarray, "steps m"]
    output: Float32[np.ndarray, " steps"]


def make_gains(
    plan: StagePlan,
    key_gain: Schedule,
    output_gain: Schedule,
    score: float,
    differing: Bool[np.ndarray, " m"],
) -> Gains:
    """The gains of all steps of a plan, 1 outside stage 2 and on tokens that are alike.

    `differing` are the tokens that the source's prompt lacks (`Difference.tokens`). For
    the branch with the prompt only: the negative prompt has no differing tokens.
    ValueError for a score outside [0, 1].
    """
    if not 0 <= score <= 1:
        raise ValueError(f"the score of a match is 0 to 1, got {score}")
    key = _table(plan, key_gain, score)
    return Gains(
        key=np.where(differing, key[:, None], np.float32(1)),
        output=_table(plan, output_gain, score),
    )


def _table(plan: StagePlan, gain: Schedule, score: float) -> Float32[np.ndarray, " t"]:
    first, last = plan.reuse_until, plan.region_until
    table = np.ones(plan.steps, np.float32)
    for step in range(first, last):
        table[step] = gain((step - first) / (last - first), score)
    return table


def _check(gain: float) -> None:
    if not 1 <= gain < math.inf:
        raise ValueError(f"a gain is 1 or more and finite, got {gain}")
