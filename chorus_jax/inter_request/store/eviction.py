"""Eviction when there is no room: policies as small frozen objects.

A policy sees what is stored and names the victim. It knows nothing of tiers or files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from chorus_jax.inter_request.store.entry import Statistics


class StoredItem(NamedTuple):
    """An entry as a policy sees it.

    Attributes:
        id: the entry's.
        namespace: whose it is.
        size: its bytes in the tier that needs room.
        statistics: how it was made and used.
    """

    id: str
    namespace: str
    size: int
    statistics: Statistics


@runtime_checkable
class Eviction(Protocol):
    """A policy of eviction: frozen, without memory of its own."""

    def victim(
        self, items: Sequence[StoredItem], coming: StoredItem | None = None
    ) -> str:
        """The id of the entry to evict first, of one or more.

        Args:
            items: what is stored.
            coming: the entry that room is made for; None if there is none.
        """


@dataclass(frozen=True)
class LRU:
    """Evicts the least recently used entry; of several used at once, the oldest."""

    def victim(
        self, items: Sequence[StoredItem], coming: StoredItem | None = None
    ) -> str:
        """The id of the entry to evict first."""
        return min(items, key=_idle).id


@dataclass(frozen=True)
class FairShare:
    """Least recently used first, of the namespace with the most bytes.

    So one namespace cannot evict what others have within an equal share, nor tell from
    its own entries how much others admit. With one namespace this is `LRU`.
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
