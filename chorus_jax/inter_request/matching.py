"""Which earlier request is near enough: embeddings first, then a second look at words.

Text-only top-1 matching by cosine hands over wrong videos: prompts that share a noun,
or differ in the very word that matters, are near. So the best few are looked at again,
word by word, and the score says so. Chorus takes the top one (arXiv 2604.04451); this
is ours.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from chorus_jax.inter_request.index import Index
from chorus_jax.inter_request.store import Head, Store
from chorus_jax.inter_request.token_diff import Difference, difference

# A recipe and a namespace, None for what all namespaces may see.
Shelf = tuple[str, str | None]


@dataclass(frozen=True, eq=False)
class Query:
    """What is looked for: the recipe's digest, the namespace, the prompt's embedding of
    norm 1, and the keys of its words."""

    recipe: str
    namespace: str
    embedding: Float[np.ndarray, " d"]
    words: tuple[bytes, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """A source: its head, the score, and what it is made of."""

    head: Head
    score: float
    cosine: float
    difference: Difference


@dataclass(frozen=True)
class Rejection:
    """Why there is no source; the best score, if any entry was looked at."""

    reason: str
    score: float | None = None


@dataclass(frozen=True)
class SecondLook:
    """The score of a candidate: its cosine, less for words that differ.

        score = cosine - weight * (1 - share of words in common, in the same order)

    The order counts because "a dog chases a cat" has all the words of "a cat chases a
    dog". A candidate with less than `least_same` of its words in common, in whatever
    order, is no source, whatever its cosine. What a word means is not asked: a negation
    or another number costs what any other word costs. Form and constants are ours, a
    starting point that no measurement has chosen.
    """

    weight: float = 0.1
    least_same: float = 0.2

    def score(self, cosine: float, found: Difference) -> float:
        """The score, at most 1; -1 for a candidate that is refused."""
        if found.same < self.least_same:
            return -1.0
        return min(1.0, cosine - self.weight * (1 - found.ordered))


@dataclass
class Shelves:
    """An index for each recipe and namespace; hears of entries from the store."""

    make: Callable[[int], Index]
    indexes: dict[Shelf, Index] = field(default_factory=dict)
    places: dict[str, Shelf] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def admitted(self, head: Head) -> None:
        """An entry came; without key steps it is good for exact repeats only."""
        if not head.steps:
            return
        shelf = (head.recipe, None if head.shared else head.namespace)
        with self.lock:
            if shelf not in self.indexes:
                self.indexes[shelf] = self.make(len(head.embedding))
            self.indexes[shelf].add(head.id, head.embedding)
            self.places[head.id] = shelf

    def removed(self, id: str) -> None:
        """An entry went."""
        with self.lock:
            shelf = self.places.pop(id, None)
            if shelf is None:
                return
            index = self.indexes[shelf]
            index.remove(id)
            # Recipes and namespaces come and go without end.
            if not len(index):
                del self.indexes[shelf]

    def close(self) -> None:
        """Ends the threads of all indexes."""
        with self.lock:
            for index in self.indexes.values():
                index.close()

    def near(self, query: Query, count: int) -> list[tuple[str, float]]:
        """The ids and cosines of the nearest entries that the namespace may see."""
        shelves = ((query.recipe, name) for name in (query.namespace, None))
        with self.lock:
            indexes = [self.indexes[one] for one in shelves if one in self.indexes]
        found = [
            (match.id, match.similarity)
            for index in indexes
            for match in index.search(query.embedding, count)
        ]
        return sorted(found, key=lambda match: (-match[1], match[0]))[:count]


class Matcher:
    """Finds the source of a request among a store's entries.

    `candidates` are looked at twice. `make_index` gives an empty index of a width.
    """

    def __init__(
        self,
        store: Store,
        make_index: Callable[[int], Index],
        look: SecondLook = SecondLook(),
        candidates: int = 8,
    ):
        self.store, self.look, self.candidates = store, look, candidates
        self.shelves = Shelves(make_index)
        store.watch(self.shelves)

    def __call__(
        self,
        query: Query,
        least: float,
        usable: Callable[[Head, float], bool] = lambda head, score: True,
    ) -> Found | Rejection:
        """The source with the highest score from `least` on, or why there is none.

        `usable` says whether an entry with this score has the latents that are needed.
        """
        near = self.shelves.near(query, self.candidates)
        if not near:
            return Rejection("no entry of this recipe that this namespace may see")
        looked = [self._looked(query, id, cosine) for id, cosine in near]
        found = [each for each in looked if each is not None]
        if not found:
            return Rejection("the nearest entries were evicted meanwhile")
        found.sort(key=lambda each: (-each.score, each.head.id))
        if found[0].score < least:
            return self._refused(found[0], least)
        for each in found:
            if each.score >= least and usable(each.head, each.score):
                return each
        return Rejection("no near entry has the key steps it takes", found[0].score)

    def _looked(self, query: Query, id: str, cosine: float) -> Found | None:
        head = self.store.head(id, query.namespace)
        if head is None:
            return None
        differing = difference(query.words, head.words)
        score = self.look.score(cosine, differing)
        return Found(head, score, cosine, differing)

    def _refused(self, best: Found, least: float) -> Rejection:
        if best.difference.same < self.look.least_same:
            return Rejection(
                f"the nearest entry (cosine {best.cosine:.3f}) has only "
                f"{best.difference.same:.0%} of the words in common",
                best.score,
            )
        return Rejection(
            f"the best score is {best.score:.3f}, below {least:g}", best.score
        )
