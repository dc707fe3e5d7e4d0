"""Which earlier request is near enough: embeddings first, then a second look at words.

Text-only top-1 matching by cosine hands over wrong videos: prompts that share a noun,
or differ in the very word that matters, are near. So the best few are looked at again,
word by word, and the score says so. Chorus takes the top one (arXiv 2604.04451); this
is ours.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakSet

import numpy as np
from jaxtyping import Float, Float16

from chorus_jax.inter_request.index import Index
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.match.token_diff import Difference, difference
from chorus_jax.inter_request.store import Head, Store

# A recipe and a namespace, None for what all namespaces may see.
Shelf = tuple[str, str | None]


@dataclass(frozen=True, eq=False)
class Query:
    """What is looked for: the recipe's digest, the namespace, the prompt's embedding of
    norm 1, and the keys of its words with their meanings (see `Head`)."""

    recipe: str
    namespace: str
    embedding: Float[np.ndarray, " d"]
    words: tuple[bytes, ...]
    meanings: Float16[np.ndarray, "u e"]


@dataclass(frozen=True, eq=False)
class Found:
    """A source: its head, the score, and what it is made of (see `SecondLook`)."""

    head: Head
    score: float
    cosine: float
    risk: float
    difference: Difference


@dataclass(frozen=True)
class Rejection:
    """Why there is no source; the best score, if any entry was looked at."""

    reason: str
    score: float | None = None


@dataclass
class Shelves:
    """An index for each recipe and namespace; hears of entries from the store.

    `emptied` are indexes without entries whose threads are at work: those hold them.
    """

    make: Callable[[int], Index]
    indexes: dict[Shelf, Index] = field(default_factory=dict)
    places: dict[str, Shelf] = field(default_factory=dict)
    emptied: WeakSet[Index] = field(default_factory=WeakSet)
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
                self.emptied.add(self.indexes.pop(shelf))

    def close(self) -> None:
        """Ends the threads of all indexes."""
        with self.lock:
            indexes = [*self.indexes.values(), *self.emptied]
        for index in indexes:
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
        candidates: int = 8,
    ):
        self.store, self.candidates = store, candidates
        self.shelves = Shelves(make_index)
        store.watch(self.shelves)

    def __call__(
        self,
        query: Query,
        look: SecondLook,
        least: float,
        refusal: Callable[[Found], str] = lambda found: "",
    ) -> Found | Rejection:
        """The source with the highest score by `look` from `least` on, or why there is
        none.

        `refusal` says why an entry is not taken whatever its score, "" if it may be.
        """
        self.store.refresh()
        near = self.shelves.near(query, self.candidates)
        if not near:
            return Rejection("no entry of this recipe that this namespace may see")
        # No score is above its cosine: of those that are too far the nearest will do.
        enough = sum(cosine >= least for _, cosine in near)
        looked = (self._looked(query, look, *each) for each in near[: max(1, enough)])
        found = [each for each in looked if each is not None]
        if not found:
            return Rejection("the nearest entries were evicted meanwhile")
        found.sort(key=lambda each: (-each.score, each.head.id))
        best = found[0]
        if best.score < least:
            return Rejection(
                f"the best score is {best.score:.3f}, below {least:g} (cosine "
                f"{best.cosine:.3f}, risk of a word {best.risk:.2f})",
                best.score,
            )
        reasons = []
        for each in found:
            if each.score < least:
                break
            reason = refusal(each)
            if not reason:
                return each
            reasons.append(reason)
        return Rejection(reasons[0], best.score)

    def _looked(
        self, query: Query, look: SecondLook, id: str, cosine: float
    ) -> Found | None:
        head = self.store.head(id, query.namespace)
        if head is None:
            return None
        risk = look.risk(query.meanings, head.meanings)
        differing = difference(query.words, head.words)
        return Found(head, look.score(cosine, risk), cosine, risk, differing)
