"""The second look at a candidate: how far do its words differ, and does that matter?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16, Float32

from chorus_jax.inter_request.match.meaning import WIDTH, gaps


@dataclass(frozen=True)
class Sensitivity:
    """Predicts how much more often a video is wrong if its source lacks a word.

        sensitivity = direction . meaning + offset, clipped to [0, 1]

    A model decides early what some words say (the ground, the size), and late what
    others do: those can still be put right by a run that begins from the source's
    latents. So it is measured, for a model and its steps (`benchmarks.calibrate.look`),
    as the mean over ever more reuse, and predicted from what a word means, so that it
    holds for words that were not measured.

    Attributes:
        direction: `meaning.WIDTH` numbers.
        offset: the sensitivity of a word without meaning.

    Raises:
        ValueError: for another count of numbers, or if one is not finite.
    """

    direction: tuple[float, ...]
    offset: float

    def __post_init__(self) -> None:
        if len(self.direction) != WIDTH:
            raise ValueError(
                f"a direction has {WIDTH} numbers, as meanings of words have, got "
                f"{len(self.direction)}"
            )
        # A score that is not a number would pass for a perfect one.
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
    """The score of a candidate: its cosine, less for the word that is lacked most.

        score = cosine - weight * max over the words of both (gap * sensitivity)

    The gap (see `meaning`) of a word says how far the other prompt is from what the
    model reads of it: little for a synonym, all for an opposite, in a short prompt and
    in a long one. Words that only change places are told apart as far as the model
    reads them otherwise there; a model that does not makes the same video of both
    orders. The form is ours, the default weight too: no measurement chose it.

    Attributes:
        weight: 0 or more; at 0 the score is the cosine alone.
        sensitivity: how much each word matters; None: all alike, 1.

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
        """The largest gap times sensitivity of both prompts' words, 0 to 1."""
        return float(self.risks(target, [source])[0])

    def risks(
        self, target: Float16[np.ndarray, "u _"], sources: Sequence[np.ndarray]
    ) -> Float32[np.ndarray, " k"]:
        """The risk of each source: as many products as one takes, whose calls cost
        more than their numbers."""
        padded = filled(sources)
        ours, theirs = gaps(target, padded)
        if self.sensitivity is not None:
            ours = ours * self.sensitivity(target)
            theirs = theirs * self.sensitivity(padded)
        worst = [np.maximum.reduce(x, axis=-1, initial=0.0) for x in (ours, theirs)]
        return np.maximum(*worst)

    def score(self, cosine: float, risk: float) -> float:
        """The score, at most 1."""
        return min(1.0, cosine - self.weight * risk)


def filled(sources: Sequence[np.ndarray]) -> Float16[np.ndarray, "k v e"]:
    """Meanings of several prompts as one array, filled up with zeros: no words."""
    if len(sources) == 1:
        return sources[0][None]
    size = len(sources), max(map(len, sources)), max(x.shape[1] for x in sources)
    padded = np.zeros(size, np.float16)
    for row, source in zip(padded, sources, strict=True):
        row[: len(source)] = source
    return padded
