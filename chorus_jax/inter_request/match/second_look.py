"""The second look at a candidate: how far its words differ from the prompt's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16, Float32

from chorus_jax.inter_request.match.meaning import WIDTH, gaps


@dataclass(frozen=True)
class Sensitivity:
    """Predicts how much more often a video is wrong if its source lacks a word.

        sensitivity = direction . meaning + offset, clipped to [0, 1]

    A model settles some parts of a prompt early (the ground, the size) and others late.
    A run that begins from the source's latents can still correct the late ones. So the
    sensitivity is measured for a model and its number of steps
    (`benchmarks.calibrate.look`), as a mean over increasing reuse. It is a linear
    function of a word's meaning, so that it applies to words that were not measured.

    Attributes:
        direction: `meaning.WIDTH` coefficients.
        offset: the sensitivity of a word whose meaning is zero.

    Raises:
        ValueError: for another number of coefficients, or a value that is not finite.
    """

    direction: tuple[float, ...]
    offset: float

    def __post_init__(self) -> None:
        if len(self.direction) != WIDTH:
            raise ValueError(
                f"a direction has {WIDTH} numbers, as meanings of words have, got "
                f"{len(self.direction)}"
            )
        # A NaN score would count as a perfect one.
        if not np.isfinite([*self.direction, self.offset]).all():
            raise ValueError("a sensitivity has finite numbers: measure it anew")

    def __call__(
        self, meanings: Float16[np.ndarray, "*k u e"]
    ) -> Float32[np.ndarray, "*k u"]:
        """The sensitivity of each word."""
        projected = meanings.astype(np.float32) @ np.array(self.direction, np.float32)
        return np.clip(projected + np.float32(self.offset), 0, 1)


@dataclass(frozen=True)
class SecondLook:
    """The score of a candidate: its cosine, minus a penalty for the worst word.

        score = cosine - weight * max over the words of both (gap * sensitivity)

    The gap of a word (`meaning.gaps`) is its distance to the nearest word of the other
    prompt: small for a synonym and large for an opposite, however long the prompts are.
    Words in another order differ only as far as the model gives them other meanings
    there; a model that does not would make the same video of both orders. The formula
    and the default weight are our own choice, not calibrated.

    Attributes:
        weight: 0 or more; at 0 the score is the cosine alone.
        sensitivity: how much each word matters; None: 1 for every word.

    Raises:
        ValueError: for a weight below 0 or not finite.
    """

    weight: float = 0.1
    sensitivity: Sensitivity | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"a weight is 0 or more and finite, got {self.weight}")

    def risk(
        self,
        target: Float16[np.ndarray, "u _"],
        source: Float16[np.ndarray, "v _"],
    ) -> float:
        """The largest gap times sensitivity over the words of both prompts, 0 to 1."""
        return float(self.risks(target, [source])[0])

    def risks(
        self, target: Float16[np.ndarray, "u _"], sources: Sequence[np.ndarray]
    ) -> Float32[np.ndarray, " k"]:
        """The risk of each source, see `risk`.

        One batched computation for all sources, because a call costs more than its
        arithmetic.
        """
        padded = filled(sources)
        target_gaps, source_gaps = gaps(target, padded)
        if self.sensitivity is not None:
            target_gaps = target_gaps * self.sensitivity(target)
            source_gaps = source_gaps * self.sensitivity(padded)
        worst = [
            np.maximum.reduce(x, axis=-1, initial=0.0)
            for x in (target_gaps, source_gaps)
        ]
        return np.maximum(*worst)

    def score(self, cosine: float, risk: float) -> float:
        """The score, at most 1."""
        return min(1.0, cosine - self.weight * risk)


def filled(sources: Sequence[np.ndarray]) -> Float16[np.ndarray, "k v e"]:
    """Meanings of several prompts as one array, padded with zeros (no words)."""
    if len(sources) == 1:
        return sources[0][None]
    size = len(sources), max(map(len, sources)), max(x.shape[1] for x in sources)
    padded = np.zeros(size, np.float16)
    for row, source in zip(padded, sources, strict=True):
        row[: len(source)] = source
    return padded
