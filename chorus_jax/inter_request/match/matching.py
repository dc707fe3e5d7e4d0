"""Finds a near earlier request: embeddings first, then a second look at words.

Text-only top-1 matching by cosine hands over wrong videos: prompts that share a noun,
or differ in the very word that matters, are near. So the best few are looked at again,
word by word, and the score says so. Chorus takes the top one (arXiv 2604.04451); this
is ours.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from weakref import WeakSet

import numpy as np
from jaxtyping import Float, Float16

from chorus_jax.inter_request.index import Index
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.match.token_diff import Difference, difference
from chorus_jax.inter_request.store import EntryHeader, Store

log = logging.getLogger(__name__)

# A recipe and a namespace, None for what all namespaces may see.
Shelf = tuple[str, str | None]


@dataclass(frozen=True, eq=False)
class Query:
    """A query for a source.

    Attributes:
        recipe: the recipe's digest.
        namespace: whose entries are looked at, beside the shared ones.
        embedding: the prompt's, of norm 1.
        words: the keys of its words.
        meanings: what the model reads of each word (see `EntryHeader`).
        own_only: whether entries that other namespaces share are left out.
    """

    recipe: str
    namespace: str
    embedding: Float[np.ndarray, " d"]
    words: tuple[bytes, ...]
    meanings: Float16[np.ndarray, "u e"]
    own_only: bool = False


@dataclass(frozen=True, eq=False)
class Match:
    """An entry that was given a second look, as a source of a request.

    Attributes:
        head: the entry's header.
        score: how near a video from this source is to what its prompt asks: the
            similarity of the prompts times the score of the source itself, which may
            have been made from another one.
        similarity: what the second look makes of cosine and risk.
        cosine: that of both prompts' embeddings.
        risk: that of the word which differs most (see `SecondLook`).
        words: the keys of the request's words.
    """

    head: EntryHeader
    score: float
    similarity: float
    cosine: float
    risk: float
    words: tuple[bytes, ...]

    @cached_property
    def difference(self) -> Difference:
        """The words that differ; most matches are never asked for it."""
        return difference(self.words, self.head.words)


@dataclass(frozen=True)
class Rejection:
    """The reason why a request has no source.

    Attributes:
        reason: a short sentence, for the ledger.
        score: the best score, 0 to 1, if any entry was looked at.
    """

    reason: str
    score: float | None = None


@dataclass
class Shelves:
    """An index per recipe and namespace; it hears of entries from the store.

    Attributes:
        make: makes an empty index for embeddings of this width.
        indexes: those that have entries, by recipe and namespace (None: shared).
        places: in which index each entry is, by its id.
        emptied: indexes without entries whose threads are still at work.
        lock: guards the fields above.
    """

    make: Callable[[int], Index]
    indexes: dict[Shelf, Index] = field(default_factory=dict)
    places: dict[str, Shelf] = field(default_factory=dict)
    emptied: WeakSet[Index] = field(default_factory=WeakSet)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def admitted(self, head: EntryHeader) -> None:
        """An entry came; one that is no source is not indexed."""
        if not head.source:
            return
        shelf = (head.recipe, None if head.shared else head.namespace)
        with self.lock:
            index = self.indexes.get(shelf)
            if index is None:
                index = self.make(len(head.embedding))
            try:
                index.add(head.id, head.embedding)
            except ValueError as error:  # no reason not to find all others
                log.warning("the entry %s is no source: %s", head.id, error)
                return
            self.indexes[shelf], self.places[head.id] = index, shelf

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

    def near(
        self, query: Query, count: int, least: float = -1.0
    ) -> list[tuple[str, float]]:
        """The ids and cosines of the nearest entries that the namespace may see; of
        those below `least` the nearest at least."""
        shelves = ((query.recipe, name) for name in (query.namespace, None))
        with self.lock:
            indexes = [self.indexes[one] for one in shelves if one in self.indexes]
        neighbors = [
            (neighbor.id, neighbor.similarity)
            for index in indexes
            for neighbor in index.search(query.embedding, count, least)
        ]
        return sorted(neighbors, key=lambda one: (-one[1], one[0]))[:count]


class Matcher:
    """Finds the source of a request among a store's entries.

    Attributes:
        store: the entries.
        candidates: how many are looked at twice at first; twice as many again as long
            as all that are near enough are refused.
        most: the number at which that ends; it bounds the work of a miss.
    """

    def __init__(
        self,
        store: Store,
        make_index: Callable[[int], Index],
        candidates: int = 8,
        most: int = 256,
    ):
        """`make_index` gives an empty index of a width."""
        self.store, self.candidates, self.most = store, candidates, most
        self.shelves = Shelves(make_index)
        store.watch(self.shelves)

    def __call__(
        self,
        query: Query,
        look: SecondLook,
        least: float,
        refusal: Callable[[Match], str] = lambda match: "",
    ) -> Match | Rejection:
        """The source with the highest score from `least` on, or why there is none.

        Args:
            query: what is looked for.
            look: gives the similarity of two prompts.
            least: the least score.
            refusal: says why an entry is not taken whatever its score, "" if it may be.
        """
        self.store.refresh()
        looked: dict[str, Match | None] = {}
        count = self.candidates
        while True:
            neighbors = self.shelves.near(query, count, least)
            if not neighbors:
                return Rejection("no entry of this recipe that this namespace may see")
            # No score is above its cosine: of those that are too far the nearest will
            # do.
            enough = sum(cosine >= least for _, cosine in neighbors)
            near = [one for one in neighbors[: max(1, enough)] if one[0] not in looked]
            for at in range(0, len(near), self.candidates):  # bounds the memory
                looked |= self._looked(query, look, near[at : at + self.candidates])
            result = best_of(looked.values(), least, refusal)
            if isinstance(result, Match) or enough < count or count >= self.most:
                return result
            # All that were looked at are refused; a farther one may not be.
            count = min(2 * count, self.most)

    def _looked(
        self, query: Query, look: SecondLook, near: Sequence[tuple[str, float]]
    ) -> dict[str, Match | None]:
        """The matches of these ids and cosines, None for what may not be used."""
        looked: dict[str, Match | None] = dict.fromkeys(id for id, _ in near)
        heads = [(self.store.head(id, query.namespace), cosine) for id, cosine in near]
        kept = [
            (head, cosine)
            for head, cosine in heads
            if head is not None
            and head.meanings.shape[1:] == query.meanings.shape[1:]
            and not (query.own_only and head.namespace != query.namespace)
        ]
        if not kept:
            return looked
        risks = look.risks(query.meanings, [head.meanings for head, _ in kept])
        for (head, cosine), risk in zip(kept, map(float, risks), strict=True):
            similarity = look.score(cosine, risk)
            score = min(similarity, similarity * head.score)
            looked[head.id] = Match(head, score, similarity, cosine, risk, query.words)
        return looked


def best_of(
    looked: Iterable[Match | None], least: float, refusal: Callable[[Match], str]
) -> Match | Rejection:
    """The match with the highest score that is not refused, or why there is none."""
    matches = [match for match in looked if match is not None]
    if not matches:
        return Rejection("the nearest entries were evicted meanwhile")
    matches.sort(key=lambda match: (-match.score, match.head.id))
    best = matches[0]
    if best.score < least:
        return Rejection(
            f"the best score is {best.score:.3f}, below {least:g} (cosine "
            f"{best.cosine:.3f}, risk of a word {best.risk:.2f}, score of the source "
            f"itself {best.head.score:.3f})",
            best.score,
        )
    reasons = []
    for match in matches:
        if match.score < least:
            break
        reason = refusal(match)
        if not reason:
            return match
        reasons.append(reason)
    return Rejection(reasons[0], best.score)
