"""Probabilities of drawing clips in training, weighted by attribute values.

A small star has few pixels, so its silhouette counts little in the mean error, and it
is learnt last. Drawing such clips more often gives them more of the training. Only
values that captions name count, so that the clips of a caption stay equally frequent:
a caption without a size describes small and large objects as before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from chorus_jax.training.world.attributes import VALUES


@dataclass(frozen=True)
class Emphasis:
    """One attribute's value; clips whose captions name it are drawn more often.

    Attributes:
        attribute: the name of the attribute.
        value: its value.
        factor: how many times as often its clips are drawn as equal clips with another
            value; finite and above 0.

    Raises:
        ValueError: for an unknown attribute or value, or a factor out of range.
    """

    attribute: str
    value: str
    factor: float

    def __post_init__(self) -> None:
        if self.value not in VALUES.get(self.attribute, ()):
            raise ValueError(
                f"no {self.attribute} of the world is {self.value!r}, there are "
                f"{VALUES}"
            )
        if not 0 < self.factor < math.inf:
            raise ValueError(
                f"the factor of {self.attribute} {self.value} is finite and above 0, "
                f"got {self.factor}"
            )


def shares(
    emphases: Sequence[Emphasis], labels: Int[np.ndarray, "n named"]
) -> Float[np.ndarray, " n"]:
    """The probability of each clip when one is drawn; they sum to 1.

    Args:
        emphases: the values with factors; factors of several values are multiplied.
        labels: numbers of the attribute values that captions name, as `naming.labels`.
    """
    weights = np.ones(len(labels))
    for emphasis in emphases:
        column = list(VALUES).index(emphasis.attribute)
        number = VALUES[emphasis.attribute].index(emphasis.value)
        weights[labels[:, column] == number] *= emphasis.factor
    return weights / weights.sum()
