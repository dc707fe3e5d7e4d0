"""The cache of an engine: the store of entries, and what finds and foresees them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chorus_jax.inter_request.index import Index, default_index
from chorus_jax.inter_request.match.foresight import Foresight
from chorus_jax.inter_request.match.matching import Matcher
from chorus_jax.inter_request.store import Store

MEMORY = 2**30


@dataclass
class Cache:
    """A store, and how its entries are found.

    `make_index` gives an empty index of a width, for each recipe and namespace one; by
    default (`default_index`) search is exact up to `Rebuilds.least` entries.
    """

    store: Store
    make_index: Callable[[int], Index] = field(default_factory=default_index)
    matcher: Matcher = field(init=False)
    foresight: Foresight = field(init=False)

    def __post_init__(self) -> None:
        self.matcher = Matcher(self.store, self.make_index)
        self.foresight = Foresight(self.store)

    @classmethod
    def in_memory(cls, memory_bytes: int = MEMORY) -> "Cache":
        """A cache that ends with the process."""
        return cls(Store(memory_bytes))

    @classmethod
    def in_folder(
        cls, folder: str | Path, disk_bytes: int, memory_bytes: int = MEMORY
    ) -> "Cache":
        """A cache in a folder, which any number of processes may share."""
        return cls(Store(memory_bytes, folder=folder, disk_bytes=disk_bytes))

    def close(self) -> None:
        """Ends its threads and gives the folder back."""
        self.matcher.shelves.close()
        self.store.close()
