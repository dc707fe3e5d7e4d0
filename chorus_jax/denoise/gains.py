"""Gains of token-guided attention amplification (TGAA), per step and per text token.

In cross-attention Chorus scales the keys of the prompt's differing tokens, and the
whole output (arXiv 2604.04451, eq. 4). Both gains fall as denoising proceeds and are
smaller for better matches. The paper does not publish its gain functions; those here,
which are exactly 1 outside stage 2, are ours.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32

from chorus_jax.denoise.state import GainTables


@dataclass(frozen=True)
class Decay:
    """A gain that falls linearly to 1 over stage 2.

    Attributes:
        gain: the gain at the start of stage 2 for a match with a score of 0; at least
            1.

    Raises:
        ValueError: for a gain that is below 1 or not finite.
    """

    gain: float

    def __post_init__(self) -> None:
        if not 1 <= self.gain < math.inf:
            raise ValueError(f"a gain is 1 or more and finite, got {self.gain}")

    def __call__(self, progress: float, score: float) -> float:
        """The gain for a progress through stage 2 and a match's score, both 0 to 1."""
        return 1 + (self.gain - 1) * (1 - progress) * (1 - score)

    def table(
        self, steps: int, first: int, last: int, score: float
    ) -> Float32[np.ndarray, " steps"]:
        """The gains of all steps: 1 outside stage 2, steps `first` to `last`
        (exclusive)."""
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
    """The gains of one request in all steps; None if both gains are 1.

    Args:
        stage: the number of steps, and the first and last (exclusive) of stage 2.
        key_gain: gain of the keys of differing tokens (`Decay.gain`).
        output_gain: gain of the attention's output (`Decay.gain`).
        score: the match's score, 0 to 1.
        differing: True for the text tokens that the source's prompt lacks
            (`Difference.tokens`).

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
