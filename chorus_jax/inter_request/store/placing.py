"""Moves entries: into both tiers, from disk to memory, and out when room is needed."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from chorus_jax.inter_request.store import record
from chorus_jax.inter_request.store.catalogue import Item
from chorus_jax.inter_request.store.disk import DiskTier
from chorus_jax.inter_request.store.entry import Entry
from chorus_jax.inter_request.store.eviction import StoredItem
from chorus_jax.inter_request.store.tiers import StorageTiers

log = logging.getLogger(__name__)

Size = Callable[[Item], int]


@dataclass
class Placing:
    """Places new entries in memory and on disk.

    Attributes:
        tiers: memory, disk and their budgets.
        degraded: whether the last write to disk failed, so that new entries stay in
            memory.
    """

    tiers: StorageTiers
    degraded: bool = False

    def add(self, entry: Entry) -> bool:
        """Places a new entry, and removes those it makes superfluous (see `repeats`).

        Returns False if neither tier has room.
        """
        tiers, disk = self.tiers, self.tiers.disk
        packed = None if disk is None else record.packed(entry, disk.secret)
        with tiers.writing:
            # Both are None or neither is; the check is for mypy.
            if disk is None or packed is None or len(packed) > tiers.disk_bytes:
                size = 0
            else:
                size = self._write(disk, entry, packed)
            with tiers.lock:
                fits = self._has_room(entry)
                if not (fits or size):
                    return False
                tiers.put(Item(entry.head, entry if fits else None, size))
                # Its header takes memory too.
                self.shrink_memory()
                # A repeat that cannot be removed from disk only wastes space.
                with suppress(OSError):
                    for id in tiers.catalogue.repeats(entry):
                        tiers.forget(id)
        return True

    def load(self, id: str) -> Entry | None:
        """Reads an entry from disk, and keeps it in memory if there is room.

        No entry that is in memory alone makes room for what is a copy.
        """
        tiers, disk = self.tiers, self.tiers.disk
        entry = None if disk is None else tiers.load(disk, id)
        if entry is None:
            return None
        with tiers.lock:
            item = tiers.catalogue.get(id)
            # It may have been deleted while it was read.
            if item is None:
                return None
            if self._has_room_for_copy(entry):
                tiers.catalogue.put(replace(item, entry=entry))
        return entry.used(item.head.last_used)

    def shrink_memory(
        self, coming: StoredItem | None = None, size: Size = lambda item: item.loaded
    ) -> None:
        """Evicts entries until memory is within its budget, including `coming`.

        Headers of records on disk stay. `size` gives the bytes of an item that may be
        evicted, else 0. The caller must hold `lock`.
        """
        tiers = self.tiers
        limit = tiers.memory_bytes - (0 if coming is None else coming.size)
        while tiers.catalogue.memory > limit:
            items = tiers.catalogue.evictable(tiers.clock(), size)
            if not items:
                return
            id = tiers.eviction.victim(items, coming)
            tiers.catalogue.put(replace(tiers.catalogue[id], entry=None))

    def shrink_disk(self, disk: DiskTier, coming: Item | None = None) -> None:
        """Evicts records until the disk has room for them and the new record `coming`.

        If there is a new record, the headers must also fit in memory. Without one they
        are not counted, so that a process that only reads a folder, with a small budget
        of memory, evicts nothing from it. Records that cannot be read are evicted last.
        The caller must hold the folder's lock (`StorageTiers.alone`).
        """
        tiers = self.tiers
        with tiers.lock:  # readers may drop damaged records meanwhile
            while (id := self._disk_victim(coming)) is not None:
                if self._used_elsewhere(disk, id):
                    continue
                disk.remove(id)
                tiers.unread.pop(id, None)
                if (item := tiers.catalogue.get(id)) is not None:
                    tiers.catalogue.put(replace(item, disk=0))

    def _used_elsewhere(self, disk: DiskTier, id: str) -> bool:
        """Whether another process used a record later than this one knew; then notes
        it, so that it is evicted in its turn. Times in the future are no uses. The
        caller must hold `lock`."""
        tiers = self.tiers
        item, when = tiers.catalogue.get(id), disk.last_used(id)
        if item is None or when is None:
            return False
        if not item.head.last_used < when <= tiers.clock():
            return False
        tiers.catalogue.put(item.used(when))
        return True

    def _disk_victim(self, coming: Item | None) -> str | None:
        """The record to evict first; None if all fit. The caller must hold `lock`."""
        tiers = self.tiers
        full = tiers.disk_used + (coming.disk if coming else 0) > tiers.disk_bytes
        headers = tiers.catalogue.headers + (coming.header if coming else 0)
        if not full and (coming is None or headers <= tiers.header_bytes):
            return None
        size = (lambda item: item.disk) if full else (lambda item: item.header)
        items = tiers.catalogue.evictable(tiers.clock(), size)
        if items:
            new = None if coming is None else coming.stored(size(coming))
            return tiers.eviction.victim(items, new)
        # Without items it is `coming` alone whose header exceeds the limit.
        return next(iter(tiers.unread)) if full else None

    def _write(self, disk: DiskTier, entry: Entry, packed: bytes) -> int:
        """Writes a record; returns its bytes, or 0 if the write failed."""
        try:
            with self.tiers.alone():
                self.shrink_disk(disk, Item(entry.head, disk=len(packed)))
                disk.write(entry, packed)
        except OSError as error:
            if not self.degraded:
                where = disk.folder.path
                log.warning("new entries stay in memory, not in %s: %s", where, error)
            self.degraded = True
            return 0
        self.degraded = False
        return len(packed)

    def _has_room(self, entry: Entry, size: Size = lambda item: item.loaded) -> bool:
        """Makes room for an entry in memory; `size` is that of `shrink_memory`.

        Returns False, and evicts nothing, if the entry does not fit beside the headers
        of records on disk.
        """
        budget, catalogue = self.tiers.memory_bytes, self.tiers.catalogue
        listed = catalogue.get(entry.id)
        others = catalogue.headers - (0 if listed is None else listed.header)
        if entry.nbytes + others > budget:
            return False
        self.shrink_memory(Item(entry).stored(entry.nbytes), size)
        return True

    def _has_room_for_copy(self, entry: Entry) -> bool:
        """Makes room in memory for an entry that is on disk, if it fits beside those
        that are in memory only."""
        catalogue = self.tiers.catalogue
        kept = catalogue.alone + catalogue.headers
        fits = entry.nbytes + kept <= self.tiers.memory_bytes
        return fits and self._has_room(entry, lambda item: item.copied)
