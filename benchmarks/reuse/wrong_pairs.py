"""Pairs of a target and a misleading source, of four kinds.

    word       differs in one attribute, with a similar wording
    near       differs in three attributes or more, with a similar wording
    unrelated  differs in everything, with another wording
    wording    says the same in other words: the control

Sources with a similar wording are the best of many draws: the one whose embedding has
the highest cosine with the target's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.lib.judged import Scores, lost
from benchmarks.reuse.cases import WORDING, Worded, changed, with_changes
from chorus_jax.engine import Engine
from chorus_jax.request import Request
from chorus_jax.training.world.attributes import VALUES, held_out_combinations

# By kind, the least and the most attributes in which a source differs.
CHANGES = {
    "word": (1, 1),
    "near": (3, len(VALUES)),
    "unrelated": (len(VALUES), len(VALUES)),
    "wording": (WORDING, WORDING),
}
KINDS = tuple(CHANGES)
ALIKE = ("word", "near")  # kinds with a similar wording


@dataclass(frozen=True)
class MisleadingPair:
    """A target, and the only source in its cache.

    Attributes:
        kind: the kind of source.
        target: the target's prompt.
        source: the source's prompt.
        cosine: the cosine of the two prompts' embeddings.
    """

    kind: str
    target: Worded
    source: Worded
    cosine: float

    @property
    def changed(self) -> tuple[str, ...]:
        """The attributes that the target names and that differ in the source."""
        return changed(self.target.prompt, self.source.prompt)

    def misled(self, made: Scores, full: Scores) -> bool:
        """Whether a differing attribute is wrong in `made` but right in `full`."""
        return not set(lost(made, full)).isdisjoint(self.changed)


class Misleading:
    """Draws pairs of prompts, and compares wordings by the engine's embeddings."""

    def __init__(self, engine: Engine, request: Request, draws: int):
        self.engine, self.request, self.draws = engine, request, draws

    def pairs(self, count: int, seed: int) -> Iterator[MisleadingPair]:
        """Draws `count` pairs of each kind."""
        rng, pool = np.random.default_rng(seed), held_out_combinations()
        for number in range(count * len(KINDS)):
            attributes = pool[int(rng.integers(len(pool)))]
            target = Worded.of(attributes, int(rng.integers(2**32)))
            kind = KINDS[number % len(KINDS)]
            sources = list(self.sources(kind, target, rng))
            vector = self.embedding(target)
            cosines = [float(vector @ self.embedding(source)) for source in sources]
            best = int(np.argmax(cosines))
            yield MisleadingPair(kind, target, sources[best], cosines[best])

    def sources(
        self, kind: str, target: Worded, rng: np.random.Generator
    ) -> Iterator[Worded]:
        """Draws sources of a kind."""
        [attributes], (least, most) = target.prompt.attributes, CHANGES[kind]
        for _ in range(self.draws if kind in ALIKE else 1):
            changes = int(rng.integers(least, most + 1))
            wording = target.wording if kind in ALIKE else int(rng.integers(2**32))
            yield Worded.of(with_changes(attributes, changes, rng), wording)

    def embedding(self, prompt: Worded) -> np.ndarray:
        """The embedding with which the engine looks a prompt up."""
        request = replace(self.request, prompt=prompt.prompt.caption, seed=0)
        return self.engine.query(request).embedding
