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
        size: its bytes in the tier that needs room.
        statistics: how it was made and used.
    """

    id: str
    size: int
    statistics: Statistics


@runtime_checkable
class Eviction(Protocol):
    """A policy of eviction: frozen, without memory of its own."""

    def victim(self, items: Sequence[StoredItem]) -> str:
        """The id of the entry to evict first, of one or more."""


@dataclass(frozen=True)
class LRU:
    """Least recently used first; of those as recently used, the oldest."""

    def victim(self, items: Sequence[StoredItem]) -> str:
        """The id of the entry to evict first."""
        return min(items, key=_idle).id


def _idle(item: StoredItem) -> tuple[float, float, str]:
    return item.statistics.last_used, item.statistics.created, item.id
