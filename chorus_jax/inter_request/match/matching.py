"""Finds a similar earlier request: by embeddings first, then word by word.

Taking the nearest prompt by cosine leads to wrong videos, because prompts that share a
noun, or differ only in the word that matters, are near. So the nearest few are compared
again word by word, and the score falls with the largest difference. Chorus takes the
nearest one (arXiv 2604.04451); the second look is our addition.
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

# A recipe's digest and a namespace; None for what all namespaces share.
Shelf = tuple[str, str | None, int]


@dataclass(frozen=True, eq=False)
class Query:
    """The properties of a request from which the matcher finds its source.

    Attributes:
        recipe: the recipe's digest.
        namespace: the namespace whose entries are searched beside the shared ones.
        embedding: the prompt's embedding, of norm 1.
        words: the keys of the prompt's words (`word_keys`).
        meanings: the model's representation of each word (see `meaning`).
        own_only: whether to leave out entries shared by other namespaces, and entries
            that were made from them.
    """

    recipe: str
    namespace: str
    embedding: Float[np.ndarray, " d"]
    words: tuple[bytes, ...]
    meanings: Float16[np.ndarray, "u e"]
    own_only: bool = False


@dataclass(frozen=True, eq=False)
class Match:
    """An entry that was compared word by word with a request.

    Attributes:
        head: the entry's header.
        score: how well a video made from this source would follow the request's prompt:
            `similarity` times the score of the source, which may itself have been made
            from another source.
        similarity: the similarity of the prompts, from `cosine` and `risk` (see
            `SecondLook.score`).
        cosine: the cosine of the prompts' embeddings.
        risk: the risk of the word that differs most (see `SecondLook`).
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
        """The words that differ, computed on first use: most matches never need it."""
        return difference(self.words, self.head.words)


@dataclass(frozen=True)
class Rejection:
    """The reason why a request has no source.

    Attributes:
        reason: a short sentence, for the ledger.
        score: the best score, 0 to 1; None if no entry was compared.
    """

    reason: str
    score: float | None = None


@dataclass
class Shelves:
    """One index per recipe, namespace and width; watches the store for changes.

    Entries whose embeddings have another width than the request's are not compared.

    A shared entry is in two indexes: that of its own namespace, and that of all shared
    entries. So the shared entries of other namespaces, however many, cannot crowd out a
    namespace's own entries.

    Attributes:
        make: makes an empty index for embeddings of a given width.
        indexes: the indexes that have entries, by recipe, namespace (None: shared) and
            width of the embeddings.
        places: the shelves of each entry, by its id.
        emptied: indexes that lost all entries; their threads may still run.
        lock: guards the fields above.
    """

    make: Callable[[int], Index]
    indexes: dict[Shelf, Index] = field(default_factory=dict)
    places: dict[str, list[Shelf]] = field(default_factory=dict)
    emptied: WeakSet[Index] = field(default_factory=WeakSet)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def admitted(self, head: EntryHeader) -> None:
        """Indexes an admitted entry."""
        names = (head.namespace, None) if head.shared else (head.namespace,)
        width = len(head.embedding)
        with self.lock:
            for shelf in ((head.recipe, name, width) for name in names):
                index = self.indexes.get(shelf)
                if index is None:
                    index = self.make(width)
                try:
                    index.add(head.id, head.embedding)
                except ValueError as error:  # the other entries are still found
                    log.warning("the entry %s is no source: %s", head.id, error)
                    continue
                self.indexes[shelf] = index
                self.places.setdefault(head.id, []).append(shelf)

    def removed(self, id: str) -> None:
        """Drops a removed entry, and its indexes if they become empty."""
        with self.lock:
            for shelf in self.places.pop(id, ()):
                index = self.indexes[shelf]
                index.remove(id)
                # Else indexes of old recipes and namespaces would pile up.
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
        """The nearest entries that the namespace may see, as ids and cosines.

        Args:
            query: the request.
            count: the most entries to return from each of the two indexes: the
                namespace's own entries, and the shared ones.
            least: entries whose cosine is below this may be left out, except the
                nearest one.
        """
        names = [query.namespace] if query.own_only else [query.namespace, None]
        shelves = [(query.recipe, name, len(query.embedding)) for name in names]
        with self.lock:
            indexes = [self.indexes[one] for one in shelves if one in self.indexes]
        neighbors = {
            neighbor.id: neighbor.similarity
            for index in indexes
            for neighbor in index.search(query.embedding, count, least)
        }
        return sorted(neighbors.items(), key=lambda one: (-one[1], one[0]))


class Matcher:
    """Finds the source of a request among a store's entries.

    Attributes:
        store: the store whose entries are searched.
        candidates: how many of the nearest entries are compared word by word at first.
            The number doubles as long as no compared entry can be used and farther ones
            may be near enough.
        most: the largest number of compared entries in each index (the namespace's
            own, and the shared one); it bounds the work of a miss.
    """

    def __init__(
        self,
        store: Store,
        make_index: Callable[[int], Index],
        candidates: int = 8,
        most: int = 256,
    ):
        """`make_index` makes an empty index for embeddings of a given width."""
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
        """The source with the highest score, or the reason why there is none.

        Args:
            query: the request.
            look: computes the similarity of two prompts.
            least: the lowest score that a source may have.
            refusal: gives the reason why an entry may not be used in spite of its
                score, or "" if it may.
        """
        self.store.refresh()
        looked: dict[str, Match | None] = {}
        count = self.candidates
        while True:
            neighbors = self.shelves.near(query, count, least)
            if not neighbors:
                return Rejection(
                    "the cache has no entry of this model and these settings that this "
                    "namespace may use"
                )
            # No score exceeds its cosine. If every cosine is too low, one comparison,
            # with the nearest entry, is enough to report why.
            enough = sum(cosine >= least for _, cosine in neighbors)
            near = [one for one in neighbors[: max(1, enough)] if one[0] not in looked]
            for at in range(0, len(near), self.candidates):  # bounds the memory
                looked |= self._looked(query, look, near[at : at + self.candidates])
            result = best_of(looked.values(), least, refusal)
            if isinstance(result, Match) or enough < count or count >= self.most:
                return result
            # No compared entry can be used, but one farther away may be.
            count = min(2 * count, self.most)

    def _looked(
        self, query: Query, look: SecondLook, near: Sequence[tuple[str, float]]
    ) -> dict[str, Match | None]:
        """Compares these candidates word by word; returns their matches by id.

        None for an entry that is gone, whose meanings have another width, or that
        `Query.own_only` excludes.

        Args:
            query: the request.
            look: computes the similarity of two prompts.
            near: ids and cosines of the candidates.
        """
        looked: dict[str, Match | None] = dict.fromkeys(id for id, _ in near)
        heads = [(self.store.head(id, query.namespace), cosine) for id, cosine in near]
        kept = [
            (head, cosine)
            for head, cosine in heads
            if head is not None
            and head.meanings.shape[1:] == query.meanings.shape[1:]
            and (head.own or not query.own_only)
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
    """The match with the highest score that is not refused, or the reason for none."""
    matches = [match for match in looked if match is not None]
    if not matches:
        return Rejection(
            "the nearest entries were evicted meanwhile, or may not be used for this "
            "request"
        )
    matches.sort(key=lambda match: (-match.score, match.head.id))
    best = matches[0]
    if best.score < least:
        return Rejection(
            f"the best score is {best.score:.3f}, below {least:g} (cosine "
            f"{best.cosine:.3f}, less {best.cosine - best.similarity:.3f} for the word "
            f"that differs most, times {best.head.score:.3f}, the source's own score)",
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
