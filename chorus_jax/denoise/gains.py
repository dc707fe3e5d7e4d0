"""Token-guided attention amplification: how much, at each step and for each token.

Chorus scales in cross-attention the keys of the differing tokens and its whole output
(arXiv 2604.04451, eq. 4); both fall as denoising proceeds and are smaller for better
matches. That much is the paper's. Its functions are not known to us: those here, which
are exactly 1 outside stage 2, are ours.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32

from chorus_jax.denoise.state import GainTables


@dataclass(frozen=True)
class Decay:
    """A gain that falls evenly to 1.

    Attributes:
        gain: its value at the start of stage 2 and a score of 0, 1 or more.

    Raises:
        ValueError: for another gain.
    """

    gain: float

    def __post_init__(self) -> None:
        if not 1 <= self.gain < math.inf:
            raise ValueError(f"a gain is 1 or more and finite, got {self.gain}")

    def __call__(self, progress: float, score: float) -> float:
        """The gain at a progress through stage 2 and for a score, both 0 to 1."""
        return 1 + (self.gain - 1) * (1 - progress) * (1 - score)

    def table(
        self, steps: int, first: int, last: int, score: float
    ) -> Float32[np.ndarray, " steps"]:
        """The gains of all steps, 1 outside stage 2, which is `first` to `last`."""
        gains = np.ones(steps, np.float32)
        for step in range(first, last):
            gains[step] = self((step - first) / (last - first), score)
        return gains


def gain_tables(
    stage: tuple[int, int, int],
    key_gain: float,
    output_gain: float,
    score: float,
    differing: Bool[np.ndarray, " m"],
) -> GainTables | None:
    """The gains of one request in all steps; None if both are 1.

    Args:
        stage: the number of steps, and the first and last (exclusive) of stage 2.
        key_gain: that of the keys of differing tokens (see `Decay`).
        output_gain: that of the attention's output.
        score: of the match, 0 to 1.
        differing: the tokens that the source's prompt lacks (`Difference.tokens`).

    Raises:
        ValueError: for a score outside [0, 1], or a gain below 1.
    """
    if not 0 <= score <= 1:
        raise ValueError(f"the score of a match is 0 to 1, got {score}")
    keys, outputs = (Decay(x).table(*stage, score) for x in (key_gain, output_gain))
    if key_gain == output_gain == 1:
        return None
    key = jnp.where(differing, keys[:, None], np.float32(1))
    return GainTables(key[:, None], jnp.asarray(outputs)[:, None])
