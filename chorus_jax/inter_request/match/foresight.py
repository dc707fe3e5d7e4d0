"""Guesses from its words which entry will be the source, before there is an embedding.

So its record can be read from disk while the text encoder runs. A wrong guess costs
that read, and nothing else: what is taken is decided by the matcher.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from chorus_jax.inter_request.store import EntryHeader

COMMON = 512  # entries with a word; one of more entries tells little, and takes long

# A recipe, and a namespace, None for what all may see.
Shelf = tuple[str, str | None]


@runtime_checkable
class Heads(Protocol):
    """The part of a store that is needed here."""

    def watch(self, watcher: Any) -> None:
        """Tells of entries that are there, that come and that go."""

    def refresh(self) -> None:
        """Tells of what other processes did."""

    def prefetch(self, id: str, namespace: str) -> None:
        """Begins to load an entry."""


class Foresight:
    """The words of all entries that can be a source; hears of entries from the store.

    It may be asked and told by any number of threads.
    """

    def __init__(self, store: Heads):
        self._store, self._lock = store, threading.Lock()
        # Entries by shelf and word.
        self._entries: dict[Shelf, dict[bytes, set[str]]] = {}
        self._places: dict[str, tuple[Shelf, tuple[bytes, ...]]] = {}
        store.watch(self)

    def admitted(self, head: EntryHeader) -> None:
        """An entry came; one that is no source is not counted."""
        if not head.source:
            return
        shelf = (head.recipe, None if head.shared else head.namespace)
        with self._lock:
            self._places[head.id] = (shelf, head.words)
            words = self._entries.setdefault(shelf, {})
            for word in head.words:
                words.setdefault(word, set()).add(head.id)

    def removed(self, id: str) -> None:
        """An entry went."""
        with self._lock:
            shelf, gone = self._places.pop(id, (None, ()))
            if shelf is None:
                return
            words = self._entries.get(shelf, {})
            for word in set(gone):
                words[word].discard(id)
                if not words[word]:
                    del words[word]
            if not words:  # recipes and namespaces come and go without end
                self._entries.pop(shelf, None)

    def guess(self, recipe: str, namespace: str, words: Sequence[bytes]) -> str | None:
        """The entry of a recipe that shares most words, None if none shares any."""
        self._store.refresh()
        with self._lock:
            counts = Counter(self._sharing(recipe, namespace, set(words)))
        return max(counts, key=counts.__getitem__) if counts else None

    def _sharing(self, recipe: str, namespace: str, words: set[bytes]) -> Iterator[str]:
        for seen_by in (namespace, None):
            shelf = self._entries.get((recipe, seen_by), {})
            for word in words:
                candidates = shelf.get(word, ())
                if len(candidates) <= COMMON:
                    yield from candidates

    def prefetch(self, recipe: str, namespace: str, words: Sequence[bytes]) -> None:
        """Begins to load the entry that `guess` names, if there is one."""
        id = self.guess(recipe, namespace, words)
        if id is not None:
            self._store.prefetch(id, namespace)
