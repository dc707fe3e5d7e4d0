"""Eviction policies, as small frozen objects.

A policy is given the stored items and names the victim. It is independent of tiers and
files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable


class StoredItem(NamedTuple):
    """An entry as an eviction policy sees it.

    Attributes:
        id: the id of the entry.
        namespace: the namespace that it belongs to.
        size: its bytes in the tier that needs room.
        last_used: when it was last a hit, in seconds since the epoch.
        created: when it was made, in seconds since the epoch.
    """

    id: str
    namespace: str
    size: int
    last_used: float
    created: float


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
class FairShare:
    """Evicts the least recently used entry of the namespace with the most bytes.

    Of equally recent entries it evicts the oldest. So a namespace cannot evict entries
    of others within their equal share, nor learn from its own evictions how much others
    admit.
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
        candidates = (item for item in items if item.namespace == largest)
        return min(candidates, key=lambda x: (x.last_used, x.created, x.id)).id
