"""An engine's cache: the store of entries, the search for sources, and prefetching."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import no_type_check

from chorus_jax.inter_request.index import Index, default_index
from chorus_jax.inter_request.match.foresight import Foresight
from chorus_jax.inter_request.match.matching import Matcher
from chorus_jax.inter_request.store import Store
from chorus_jax.request import whole_number

MEMORY = 2**30
MOST = 2**62


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass
class Cache:
    """The stored results of earlier requests, and the search among them.

    Attributes:
        store: the entries, in memory and on disk.
        make_index: makes an empty index for embeddings of a given width; called for
            each recipe and namespace. By default (`default_index`) search is exact up
            to `Rebuilds.least` entries.
        matcher: finds the source of a request.
        foresight: loads the likely source of a request before it is matched.
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
        """A cache in memory alone, lost when the process ends.

        Args:
            memory_bytes: the most bytes of memory for entries, headers included.
        """
        return cls(Store(whole_number("memory_bytes", memory_bytes, 0, MOST)))

    @classmethod
    def in_folder(
        cls, folder: str | Path, disk_bytes: int, memory_bytes: int = MEMORY
    ) -> "Cache":
        """A cache in a folder, which any number of processes may share.

        Args:
            folder: the folder, created if it is missing.
            disk_bytes: the most bytes of entries in the folder.
            memory_bytes: the most bytes of memory for entries, and for the headers of
                entries on disk (some 30 KB per header at the width of Wan 1.3B).
                Headers may take 64 MiB even if this is less.

        Raises:
            ValueError: if the folder cannot be used.
        """
        if not isinstance(folder, str | Path):
            raise ValueError(f"folder must be a path, got {folder!r}")
        memory = whole_number("memory_bytes", memory_bytes, 0, MOST)
        disk = whole_number("disk_bytes", disk_bytes, 0, MOST)
        return cls(Store(memory, folder=folder, disk_bytes=disk))

    def close(self) -> None:
        """Ends the cache's threads and releases its folder.

        Call it after the last request has ended: what a request stores later is kept in
        memory only.
        """
        self.matcher.shelves.close()
        self.store.close()
