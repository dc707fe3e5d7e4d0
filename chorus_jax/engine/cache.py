"""The cache of an engine: the store of entries, and what finds and foresees them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import no_type_check

from chorus_jax.inter_request.index import Index, default_index
from chorus_jax.inter_request.match.foresight import Foresight
from chorus_jax.inter_request.match.matching import Matcher
from chorus_jax.inter_request.store import Store
from chorus_jax.request import whole

MEMORY = 2**30
MOST = 2**62


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass
class Cache:
    """The work of earlier requests, and the search for it.

    Attributes:
        store: the entries, in memory and on disk.
        make_index: an empty index of a width, one per recipe and namespace; by default
            (`default_index`) search is exact up to `Rebuilds.least` entries.
        matcher: finds the source of a request.
        foresight: loads a likely source early.
    """

    store: Store
    make_index: Callable[[int], Index] = field(default_factory=default_index)
    matcher: Matcher = field(init=False)
    foresight: Foresight = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.store, Store):
            raise ValueError(
                f"store must be a Store, got {self.store!r:.80}: make a cache with "
                "Cache.in_folder(FOLDER, disk_bytes=...) or Cache.in_memory()"
            )
        self.matcher = Matcher(self.store, self.make_index)
        self.foresight = Foresight(self.store)

    @classmethod
    def in_memory(cls, memory_bytes: int = MEMORY) -> "Cache":
        """A cache that ends with the process.

        Args:
            memory_bytes: the most bytes of entries, with what finds them.
        """
        return cls(Store(whole("memory_bytes", memory_bytes, 0, MOST)))

    @classmethod
    def in_folder(
        cls, folder: str | Path, disk_bytes: int, memory_bytes: int = MEMORY
    ) -> "Cache":
        """A cache in a folder, which any number of processes may share.

        Args:
            folder: is made if it is not there.
            disk_bytes: the most bytes of entries in it.
            memory_bytes: the most bytes of entries in memory, and of what finds those
                on disk (some 30 KB each at the width of Wan 1.3B). It may be 64 MiB in
                any case.

        Raises:
            ValueError: if the folder cannot be used.
        """
        if not isinstance(folder, str | Path):
            raise ValueError(f"folder must be a path, got {folder!r}")
        memory = whole("memory_bytes", memory_bytes, 0, MOST)
        disk = whole("disk_bytes", disk_bytes, 0, MOST)
        return cls(Store(memory, folder=folder, disk_bytes=disk))

    def close(self) -> None:
        """Ends its threads and gives the folder back."""
        self.matcher.shelves.close()
        self.store.close()
