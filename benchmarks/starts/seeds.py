"""The distance between the videos of two seeds of a prompt, with and without reuse."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm import tqdm

from benchmarks.reuse.bench import OWN_SEEDS, Bench, Target
from benchmarks.reuse.running import Reusing

KINDS = ("changed", "reworded")
OTHER_SEEDS = 2 * OWN_SEEDS


def with_source(bench: Bench, seeds: int = OWN_SEEDS) -> tuple[Target, ...]:
    """The targets of a bench that have a source, with seeds counted from `seeds`."""
    return tuple(
        replace(x, request=replace(x.request, seed=seeds + x.number))
        for x in bench.targets
        if x.score is not None and x.score > 0
    )


@dataclass(frozen=True)
class SeedPairs:
    """Targets with two seeds each, and how far apart the videos of full runs are.

    Attributes:
        pairs: each target twice, with different seeds.
        apart: the distance between the two full runs' videos, one per pair.
    """

    pairs: Sequence[tuple[Target, Target]]
    apart: Sequence[float]

    @classmethod
    def of(cls, bench: Bench, plain: Reusing, numbers: Sequence[int]) -> "SeedPairs":
        """Runs the targets with these numbers in full, with two seeds each."""
        both = zip(with_source(bench), with_source(bench, OTHER_SEEDS), strict=True)
        pairs = [pair for pair in both if pair[0].number in numbers]
        return cls(pairs, [between(plain, pair) for pair in tqdm(pairs, desc="seeds")])

    def variety(self, arm: Reusing) -> dict[str, float | int]:
        """The mean distance of an arm's pairs over that of full runs, and their number.

        Without pairs, there is no mean.
        """
        shares = [
            between(arm, pair) / apart
            for pair, apart in zip(self.pairs, self.apart, strict=True)
        ]
        mean = {"variety": float(np.mean(shares))} if shares else {}
        return {**mean, "varied": len(shares)}


def between(arm: Reusing, pair: tuple[Target, Target]) -> float:
    """The distance between an arm's videos of two targets."""
    one, other = (arm(target).frames for target in pair)
    return distance(one, other)


def distance(ours: np.ndarray, others: np.ndarray) -> float:
    """The root mean square of the difference of two videos' pixels."""
    return float(np.sqrt(np.mean((ours.astype(np.float32) - others) ** 2)))


def first_hits(hits: Sequence[Target], kind: str, count: int) -> list[int]:
    """The numbers of the first `count` targets that are changed or reworded."""
    same = [x.number for x in hits if bool(x.changed) == (kind == "changed")]
    return same[:count]
