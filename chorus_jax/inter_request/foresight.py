"""Which entry will be the source, guessed from words before there is an embedding.

So its record can be read from disk while the text encoder runs. A wrong guess costs
that read, and nothing else: what is taken is decided by the matcher.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from chorus_jax.inter_request.store import Head

COMMON = 512  # entries with a word; one of more entries tells little, and takes long
FEW = 8  # of the likeliest that are asked for their recipe


@runtime_checkable
class Heads(Protocol):
    """What is needed of a store."""

    def watch(self, watcher: Any) -> None:
        """Tells of entries that are there, that come and that go."""

    def refresh(self) -> None:
        """Tells of what other processes did."""

    def head(self, id: str, namespace: str) -> Head | None:
        """An entry without its latents."""

    def prefetch(self, id: str, namespace: str) -> None:
        """Begins to load an entry."""


class Foresight:
    """The words of all entries that can be a source; hears of entries from the store.

    It may be asked and told by any number of threads.
    """

    def __init__(self, store: Heads):
        self._store, self._lock = store, threading.Lock()
        self._entries: dict[bytes, set[str]] = defaultdict(set)
        self._words: dict[str, tuple[bytes, ...]] = {}
        store.watch(self)

    def admitted(self, head: Head) -> None:
        """An entry came; without key steps it is no source."""
        if not head.steps:
            return
        with self._lock:
            self._words[head.id] = head.words
            for word in head.words:
                self._entries[word].add(head.id)

    def removed(self, id: str) -> None:
        """An entry went."""
        with self._lock:
            for word in set(self._words.pop(id, ())):
                self._entries[word].discard(id)
                if not self._entries[word]:
                    del self._entries[word]

    def guess(self, recipe: str, namespace: str, words: Sequence[bytes]) -> str | None:
        """The entry of a recipe that shares most words, None if none shares any."""
        self._store.refresh()
        with self._lock:
            near = [self._entries[word] for word in set(words) & self._entries.keys()]
            counts = Counter(id for ids in near if len(ids) <= COMMON for id in ids)
        for id, _ in counts.most_common(FEW):
            head = self._store.head(id, namespace)
            if head is not None and head.recipe == recipe:
                return id
        return None

    def prefetch(self, recipe: str, namespace: str, words: Sequence[bytes]) -> None:
        """Begins to load that entry."""
        id = self.guess(recipe, namespace, words)
        if id is not None:
            self._store.prefetch(id, namespace)
