"""The catalogue of a store: its entries in memory, on disk, or both.

It knows no files and no budgets. Not for two threads at once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from chorus_jax.inter_request.store.entry import Entry, EntryHeader, Statistics
from chorus_jax.inter_request.store.eviction import StoredItem


@dataclass(frozen=True)
class Item:
    """One entry: `entry` if it is in memory, `disk` the bytes of its record, or 0."""

    id: str
    namespace: str
    shared: bool
    exact: str
    statistics: Statistics
    entry: Entry | None = None
    disk: int = 0

    @classmethod
    def of(cls, head: EntryHeader, entry: Entry | None = None, disk: int = 0) -> "Item":
        """The item of a head."""
        return cls(
            id=head.id,
            namespace=head.namespace,
            shared=head.shared,
            exact=head.exact,
            statistics=head.statistics,
            entry=entry,
            disk=disk,
        )

    def hit(self, now: float, saved: float) -> "Item":
        """This item after one more use."""
        return replace(self, statistics=self.statistics.hit(now, saved))

    @property
    def memory(self) -> int:
        """The bytes of the entry in memory, 0 if it is not there."""
        return 0 if self.entry is None else self.entry.nbytes

    def seen_by(self, namespace: str) -> bool:
        """Whether the namespace may use the entry."""
        return self.shared or self.namespace == namespace


class Catalogue:
    """Items by id, and the bytes of each tier. `gone` hears of ids that leave."""

    def __init__(self, gone: Callable[[str], None]):
        self.memory = self.disk = 0
        self._items: dict[str, Item] = {}
        self._exact: dict[str, set[str]] = {}
        self._gone = gone

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items.values())

    def __getitem__(self, id: str) -> Item:
        return self._items[id]

    def get(self, id: str, namespace: str | None = None) -> Item | None:
        """The item, None if there is none or if this namespace may not use it."""
        item = self._items.get(id)
        if item is None or namespace is None or item.seen_by(namespace):
            return item
        return None

    def repeats(self, head: EntryHeader) -> list[str]:
        """Ids of other items of this namespace and exact request."""
        items = (self._items[id] for id in self._exact.get(head.exact, ()))
        own = (item.id for item in items if item.namespace == head.namespace)
        return [id for id in own if id != head.id]

    def find(self, exact: str, namespace: str) -> Item | None:
        """An item of this exact request that the namespace may use, best its own."""
        items = (self._items[id] for id in self._exact.get(exact, ()))
        seen = [item for item in items if item.seen_by(namespace)]
        return min(
            seen, key=lambda one: (one.namespace != namespace, one.id), default=None
        )

    def put(self, item: Item) -> None:
        """Adds or replaces an item; one that is in no tier leaves."""
        self._take(item.id)
        if item.entry is None and not item.disk:
            self._gone(item.id)
            return
        self.memory += item.memory
        self.disk += item.disk
        self._items[item.id] = item
        self._exact.setdefault(item.exact, set()).add(item.id)

    def remove(self, id: str) -> None:
        """Removes an item, if it is here."""
        if self._take(id):
            self._gone(id)

    def in_memory(self) -> list[StoredItem]:
        """The items in memory, among which eviction chooses."""
        items = (item for item in self if item.entry is not None)
        return [StoredItem(item.id, item.memory, item.statistics) for item in items]

    def on_disk(self) -> list[StoredItem]:
        """The items on disk, among which eviction chooses."""
        items = (item for item in self if item.disk)
        return [StoredItem(item.id, item.disk, item.statistics) for item in items]

    def _take(self, id: str) -> bool:
        item = self._items.pop(id, None)
        if item is None:
            return False
        self.memory -= item.memory
        self.disk -= item.disk
        self._exact[item.exact].discard(id)
        if not self._exact[item.exact]:
            del self._exact[item.exact]
        return True
