"""Pairs of a target and a source that misleads.

    word       differs in one attribute, and is worded alike
    near       differs in three attributes or more, but is worded alike
    unrelated  differs in everything, and is worded differently
    wording    says the same in other words: the control

Of those worded alike it is that of many with the highest cosine to the target's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.lib.judged import Scores
from benchmarks.reuse.cases import WORDING, Worded, changed, with_changes
from chorus_jax.engine import Engine
from chorus_jax.request import Request
from chorus_jax.training.world.attributes import VALUES, held_out_combinations

# The least and the most attributes in which sources of a kind differ.
CHANGES = {
    "word": (1, 1),
    "near": (3, len(VALUES)),
    "unrelated": (len(VALUES), len(VALUES)),
    "wording": (WORDING, WORDING),
}
KINDS = tuple(CHANGES)
ALIKE = ("word", "near")  # in their wording


@dataclass(frozen=True)
class MisleadingPair:
    """A target with the only source that there is.

    Attributes:
        kind: how the source misleads.
        target: what is asked for.
        source: the earlier request.
        cosine: of the two prompts' embeddings.
    """

    kind: str
    target: Worded
    source: Worded
    cosine: float

    @property
    def changed(self) -> tuple[str, ...]:
        """The attributes in which the two differ, of those that the target names."""
        return changed(self.target.prompt, self.source.prompt)

    def harmed(self, made: Scores, full: Scores) -> bool:
        """Whether something that differs is wrong, and was right in the full run."""
        names = [f"accuracy_{name}" for name in self.changed]
        return any(made[name] < full[name] for name in names)


class Misleading:
    """Pairs for a model: its engine embeds prompts."""

    def __init__(self, engine: Engine, request: Request, draws: int):
        self.engine, self.request, self.draws = engine, request, draws

    def pairs(self, count: int, seed: int) -> Iterator[MisleadingPair]:
        """Draws so many pairs of each kind."""
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
        """Prompts of a kind."""
        [attributes], (least, most) = target.prompt.attributes, CHANGES[kind]
        for _ in range(self.draws if kind in ALIKE else 1):
            changes = int(rng.integers(least, most + 1))
            wording = target.wording if kind in ALIKE else int(rng.integers(2**32))
            yield Worded.of(with_changes(attributes, changes, rng), wording)

    def embedding(self, prompt: Worded) -> np.ndarray:
        """The embedding by which the engine matches a prompt."""
        request = replace(self.request, prompt=prompt.prompt.caption, seed=0)
        return self.engine.query(request).embedding
