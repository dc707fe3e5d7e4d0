"""Eviction policies, as small frozen objects.

A policy is given the stored items and names the victim. It is independent of tiers and
files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from chorus_jax.inter_request.store.entry import Statistics


class StoredItem(NamedTuple):
    """An entry as an eviction policy sees it.

    Attributes:
        id: the id of the entry.
        namespace: the namespace that it belongs to.
        size: its bytes in the tier that needs room.
        statistics: when it was made and how it was used.
    """

    id: str
    namespace: str
    size: int
    statistics: Statistics


@runtime_checkable
class Eviction(Protocol):
    """An eviction policy: frozen and stateless."""

    def victim(
        self, items: Sequence[StoredItem], coming: StoredItem | None = None
    ) -> str:
        """The id of the entry to evict first.

        Args:
            items: the stored entries, at least one.
            coming: the new entry that needs room, if there is one.
        """


@dataclass(frozen=True)
class LRU:
    """Evicts the least recently used entry; of equally recent ones, the oldest."""

    def victim(
        self, items: Sequence[StoredItem], coming: StoredItem | None = None
    ) -> str:
        """The id of the entry to evict first."""
        return min(items, key=_idle).id


@dataclass(frozen=True)
class FairShare:
    """Evicts the least recently used entry of the namespace with the most bytes.

    So a namespace cannot evict entries of others within their equal share, nor learn
    from its own evictions how much others admit. With one namespace this is `LRU`.
    """

    def victim(
        self, items: Sequence[StoredItem], coming: StoredItem | None = None
    ) -> str:
        """The id of the entry to evict first."""
        sizes = dict.fromkeys((item.namespace for item in items), 0)
        for item in (*items, *filter(None, [coming])):
            if item.namespace in sizes:
                sizes[item.namespace] += item.size
        largest = max(sizes, key=lambda name: (sizes[name], name))
        return LRU().victim([item for item in items if item.namespace == largest])


def _idle(item: StoredItem) -> tuple[float, float, str]:
    return item.statistics.last_used, item.statistics.created, item.id
