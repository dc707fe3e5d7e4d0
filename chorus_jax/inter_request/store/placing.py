"""Entries into the tiers, from disk into memory, and out of both for want of room."""

import logging
from contextlib import suppress
from dataclasses import dataclass, replace

from chorus_jax.inter_request.store import record
from chorus_jax.inter_request.store.catalogue import Item
from chorus_jax.inter_request.store.disk import DiskTier
from chorus_jax.inter_request.store.entry import Entry
from chorus_jax.inter_request.store.eviction import StoredItem
from chorus_jax.inter_request.store.record import Record
from chorus_jax.inter_request.store.tiers import StorageTiers

log = logging.getLogger(__name__)


@dataclass
class Placing:
    """Places new entries in memory and on disk.

    Attributes:
        tiers: the memory, the disk and what they may hold.
        degraded: whether the disk takes no writes at present, and entries stay in
            memory.
    """

    tiers: StorageTiers
    degraded: bool = False

    def add(self, entry: Entry) -> bool:
        """Places a new entry, removes its repeats; False if neither tier has room."""
        tiers, disk = self.tiers, self.tiers.disk
        packed = None if disk is None else record.packed(entry, disk.secret)
        with tiers.writing:
            # Both or neither.
            if disk is None or packed is None or packed.size > tiers.budgets.disk:
                size = 0
            else:
                size = self._write(disk, entry, packed)
            with tiers.lock:
                fits = self._has_room(entry)
                if not (fits or size):
                    return False
                tiers.put(Item(entry.head, entry if fits else None, size))
                # A repeat that stays on disk is no more than a waste.
                with suppress(OSError):
                    for id in tiers.catalogue.repeats(entry):
                        tiers.forget(id)
        return True

    def load(self, id: str) -> Entry | None:
        """An entry from disk, which then is in memory too if there is room."""
        tiers, disk = self.tiers, self.tiers.disk
        entry = None if disk is None else tiers.read(id, disk.load)
        if entry is None:
            return None
        with tiers.lock:
            item = tiers.catalogue.get(id)
            # It may have been deleted while it was read.
            if item is None:
                return None
            if self._has_room(entry):
                tiers.catalogue.put(replace(item, entry=entry))
        return entry.used(item.head.statistics)

    def shrink_memory(self, limit: int, coming: StoredItem | None = None) -> None:
        """Evicts from memory until it holds at most `limit` bytes, and `coming` has
        room. Under `lock`."""
        tiers, limit = self.tiers, limit - (0 if coming is None else coming.size)
        while tiers.catalogue.memory > limit:
            items = tiers.catalogue.in_memory(tiers.clock())
            id = tiers.eviction.victim(items, coming)
            tiers.catalogue.put(replace(tiers.catalogue[id], entry=None))

    def shrink_disk(
        self, disk: DiskTier, limit: int, coming: StoredItem | None = None
    ) -> None:
        """Evicts from the disk until it holds at most `limit` bytes, and `coming` has
        room. What cannot be read, and so not be judged, goes last.

        With the folder to itself (`StorageTiers.alone`).
        """
        tiers, limit = self.tiers, limit - (0 if coming is None else coming.size)
        while True:
            # Together: readers may drop what is damaged meanwhile.
            with tiers.lock:
                if tiers.disk_used <= limit:
                    return
                items = tiers.catalogue.on_disk(tiers.clock())
                unread = list(tiers.unread)
            id = tiers.eviction.victim(items, coming) if items else unread[0]
            with tiers.lock:
                disk.remove(id)
                tiers.unread.pop(id, None)
                item = tiers.catalogue.get(id)
                if item is not None:
                    tiers.catalogue.put(replace(item, disk=0))

    def _write(self, disk: DiskTier, entry: Entry, packed: Record) -> int:
        """Writes a record; returns its bytes, 0 if the disk does not take it."""
        coming = Item(entry).stored(packed.size)
        try:
            with self.tiers.alone():
                self.shrink_disk(disk, self.tiers.budgets.disk, coming)
                disk.write(entry, packed)
        except OSError as error:
            if not self.degraded:
                where = disk.folder.path
                log.warning("new entries stay in memory, not in %s: %s", where, error)
            self.degraded = True
            return 0
        self.degraded = False
        return packed.size

    def _has_room(self, entry: Entry) -> bool:
        """Makes room in memory, unless the entry is larger than the budget."""
        budget = self.tiers.budgets.memory
        if entry.nbytes > budget:
            return False
        self.shrink_memory(budget, Item(entry).stored(entry.nbytes))
        return True
