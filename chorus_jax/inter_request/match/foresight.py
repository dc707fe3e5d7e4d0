"""Guesses the source of a prompt from its words, before its embedding is computed.

So the source's record can be read from disk while the text encoder runs. A wrong guess
costs only that read: the matcher decides which entry is used.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from chorus_jax.inter_request.store import EntryHeader

COMMON = 512  # words in more entries than this are ignored: slow and uninformative

# A recipe's digest and a namespace, None for entries that all namespaces may see.
Shelf = tuple[str, str | None]


@runtime_checkable
class Heads(Protocol):
    """The methods of a store that `Foresight` uses."""

    def watch(self, watcher: Any) -> None:
        """Reports all present entries to a watcher, and every later change."""

    def refresh(self) -> None:
        """Reports changes made by other processes to the watchers."""

    def prefetch(self, id: str, namespace: str) -> None:
        """Starts to load an entry in another thread."""


class Foresight:
    """An inverted index from words to entries.

    It watches the store for admitted and removed entries. Thread-safe.
    """

    def __init__(self, store: Heads):
        self._store, self._lock = store, threading.Lock()
        # Entries by shelf and word.
        self._entries: dict[Shelf, dict[bytes, set[str]]] = {}
        self._places: dict[str, tuple[Shelf, tuple[bytes, ...]]] = {}
        store.watch(self)

    def admitted(self, head: EntryHeader) -> None:
        """Adds an admitted entry."""
        shelf = (head.recipe, None if head.shared else head.namespace)
        with self._lock:
            self._places[head.id] = (shelf, head.words)
            words = self._entries.setdefault(shelf, {})
            for word in head.words:
                words.setdefault(word, set()).add(head.id)

    def removed(self, id: str) -> None:
        """Drops a removed entry."""
        with self._lock:
            shelf, gone = self._places.pop(id, (None, ()))
            if shelf is None:
                return
            words = self._entries.get(shelf, {})
            for word in set(gone):
                words[word].discard(id)
                if not words[word]:
                    del words[word]
            if not words:  # else shelves of old recipes and namespaces would pile up
                self._entries.pop(shelf, None)

    def guess(self, recipe: str, namespace: str, words: Sequence[bytes]) -> str | None:
        """The id of the entry of this recipe that shares the most words, or None.

        Args:
            recipe: the recipe's digest.
            namespace: the namespace whose entries are searched beside the shared ones.
            words: the keys of the prompt's words.
        """
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
        """Starts to load the entry that `guess` returns, if any."""
        id = self.guess(recipe, namespace, words)
        if id is not None:
            self._store.prefetch(id, namespace)
