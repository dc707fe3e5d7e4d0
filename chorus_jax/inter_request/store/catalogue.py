"""The catalogue of a store: its entries in memory, on disk, or both.

All headers are in memory, so that looking up an entry reads no file. The catalogue
handles no files and no budgets. Not thread-safe.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from chorus_jax.inter_request.store.entry import Entry, EntryHeader
from chorus_jax.inter_request.store.eviction import StoredItem


@dataclass(frozen=True)
class Item:
    """One entry as the store lists it, in memory, on disk, or both.

    Attributes:
        head: the entry's header.
        entry: the entry with its latents if it is in memory, else None.
        disk: the bytes of its record on disk; 0 if it has none.
    """

    head: EntryHeader
    entry: Entry | None = None
    disk: int = 0

    def used(self, when: float) -> "Item":
        """This item with another time of its last use."""
        return replace(self, head=replace(self.head, last_used=when))

    @property
    def id(self) -> str:
        """The id of the entry."""
        return self.head.id

    @property
    def loaded(self) -> int:
        """The bytes of the entry if it is in memory, else 0."""
        return 0 if self.entry is None else self.entry.nbytes

    @property
    def memory(self) -> int:
        """The bytes in memory: of the entry if it is loaded, else of its header."""
        return self.loaded or self.head.nbytes

    @property
    def header(self) -> int:
        """The bytes of its header in memory if its record is on disk, else 0.

        Such a header stays in memory for as long as the record stays on disk.
        """
        return self.head.nbytes if self.disk else 0

    @property
    def copied(self) -> int:
        """The bytes of the entry if it is in memory and on disk, else 0."""
        return self.loaded if self.disk else 0

    @property
    def alone(self) -> int:
        """The bytes of the entry if it is in memory only, else 0."""
        return self.loaded - self.copied

    def stored(self, size: int) -> StoredItem:
        """This item as an eviction policy sees it, with `size` bytes in its tier."""
        head = self.head
        return StoredItem(head.id, head.namespace, size, head.last_used, head.created)

    def seen_by(self, namespace: str) -> bool:
        """Whether the namespace may use the entry."""
        return self.head.shared or self.head.namespace == namespace


class Catalogue:
    """Items by id, and the bytes of each tier.

    Attributes:
        memory: bytes of entries and headers in memory.
        headers: the part of `memory` that headers of records on disk take.
        disk: bytes of records on disk.
        alone: bytes of entries in memory that have no record on disk.
    """

    def __init__(self, gone: Callable[[str], None]):
        self.memory = self.headers = self.disk = self.alone = 0
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
        """The item, or None if it is not listed or this namespace may not use it.

        Without a namespace every item may be used.
        """
        item = self._items.get(id)
        if item is None or namespace is None or item.seen_by(namespace):
            return item
        return None

    def repeats(self, head: EntryHeader) -> list[str]:
        """Ids of items that the entry with this header makes superfluous.

        They have the same namespace, recipe and exact request, and no higher score.
        Shared items are among them only if this entry is shared, and items whose
        sources are all the namespace's own only if this entry's are. If this entry was
        made from a source, they were made with the same policy.
        """
        others = (self._items[id].head for id in self._exact.get(head.exact, ()))
        return [
            other.id
            for other in others
            if other.namespace == head.namespace
            and other.score <= head.score
            and other.id != head.id
            and other.recipe == head.recipe
            and other.shared <= head.shared
            and other.own <= head.own
            and head.policy in ("", other.policy)
        ]

    def find(
        self, exact: str, namespace: str, wanted: Callable[[EntryHeader], bool]
    ) -> EntryHeader | None:
        """The header of an item of this exact request, or None.

        The namespace's own items come before shared ones, then higher scores first.

        Args:
            exact: the digest of a request.
            namespace: the namespace that must be allowed to use the item.
            wanted: whether an entry with this header is accepted.
        """
        items = (self._items[id] for id in self._exact.get(exact, ()))
        seen = [item.head for item in items if item.seen_by(namespace)]
        order = lambda head: (head.namespace != namespace, -head.score, head.id)
        return min(filter(wanted, seen), key=order, default=None)

    def put(self, item: Item) -> None:
        """Adds or replaces an item; an item that is in neither tier is removed."""
        self._take(item.id)
        if item.entry is None and not item.disk:
            self._gone(item.id)
            return
        self.memory += item.memory
        self.headers += item.header
        self.disk += item.disk
        self.alone += item.alone
        self._items[item.id] = item
        self._exact.setdefault(item.head.exact, set()).add(item.id)

    def remove(self, id: str) -> None:
        """Removes an item, if it is listed."""
        if self._take(id):
            self._gone(id)

    def evictable(self, now: float, size: Callable[[Item], int]) -> list[StoredItem]:
        """The items with a size above 0, for eviction to choose from.

        Args:
            now: the time in seconds since the epoch. Later times of last use are set to
                it, since such items would never be the least recently used ones.
            size: the bytes of an item in the tier that needs room.
        """
        for item in [item for item in self if item.head.last_used > now]:
            self._items[item.id] = item.used(now)
        return [item.stored(size(item)) for item in self if size(item)]

    def _take(self, id: str) -> bool:
        item = self._items.pop(id, None)
        if item is None:
            return False
        self.memory -= item.memory
        self.headers -= item.header
        self.disk -= item.disk
        self.alone -= item.alone
        alike = self._exact[item.head.exact]
        alike.discard(id)
        if not alike:
            del self._exact[item.head.exact]
        return True
