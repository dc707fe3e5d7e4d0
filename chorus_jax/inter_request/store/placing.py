"""Moves entries: into both tiers, from disk to memory, and out when room is needed."""

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
        tiers: memory, disk and their budgets.
        degraded: whether the last write to disk failed, so that new entries stay in
            memory.
    """

    tiers: StorageTiers
    degraded: bool = False

    def add(self, entry: Entry) -> bool:
        """Places a new entry and removes entries that it makes superfluous.

        Returns False if neither tier has room (see `Catalogue.repeats`).
        """
        tiers, disk = self.tiers, self.tiers.disk
        packed = None if disk is None else record.packed(entry, disk.secret)
        with tiers.writing:
            # Both are None or neither is; this tells mypy.
            if disk is None or packed is None or packed.size > tiers.budgets.disk:
                size = 0
            else:
                size = self._write(disk, entry, packed)
            with tiers.lock:
                fits = self._has_room(entry)
                if not (fits or size):
                    return False
                tiers.put(Item(entry.head, entry if fits else None, size))
                # Its header takes memory too.
                self.shrink_memory(tiers.budgets.memory)
                # A repeat that cannot be removed from disk only wastes space.
                with suppress(OSError):
                    for id in tiers.catalogue.repeats(entry):
                        tiers.forget(id)
        return True

    def load(self, id: str) -> Entry | None:
        """Reads an entry from disk, and keeps it in memory if there is room."""
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
        """Evicts entries until memory holds at most `limit` bytes, including `coming`.

        Headers of records on disk stay. The caller must hold `lock`.
        """
        tiers, limit = self.tiers, limit - (0 if coming is None else coming.size)
        while tiers.catalogue.memory > limit:
            items = tiers.catalogue.in_memory(tiers.clock())
            if not items:
                return
            id = tiers.eviction.victim(items, coming)
            tiers.catalogue.put(replace(tiers.catalogue[id], entry=None))

    def shrink_disk(
        self, disk: DiskTier, limit: int, coming: StoredItem | None = None
    ) -> None:
        """Evicts records until the disk holds `limit` bytes or less, with `coming`.

        Records that cannot be read are evicted last. The caller must hold the folder's
        lock (`StorageTiers.alone`).
        """
        tiers, limit = self.tiers, limit - (0 if coming is None else coming.size)
        while True:
            # Under one lock, because readers may drop damaged records meanwhile.
            with tiers.lock:
                if tiers.disk_used <= limit:
                    return
                items = tiers.catalogue.on_disk(tiers.clock())
                unread = list(tiers.unread)
            id = tiers.eviction.victim(items, coming) if items else unread[0]
            self._take_from(disk, id)

    def shrink_headers(self, disk: DiskTier, coming: StoredItem) -> None:
        """Evicts records until all headers fit their share of memory (with `coming`).

        The share is `Budgets.headers`. The caller must hold the folder's lock
        (`StorageTiers.alone`).
        """
        tiers, limit = self.tiers, self.tiers.budgets.headers - coming.size
        while True:
            with tiers.lock:
                if tiers.catalogue.headers <= limit:
                    return
                items = tiers.catalogue.by_header(tiers.clock())
            if not items:
                return  # `coming` alone exceeds the limit
            self._take_from(disk, tiers.eviction.victim(items, coming))

    def _take_from(self, disk: DiskTier, id: str) -> None:
        tiers = self.tiers
        with tiers.lock:
            disk.remove(id)
            tiers.unread.pop(id, None)
            item = tiers.catalogue.get(id)
            if item is not None:
                tiers.catalogue.put(replace(item, disk=0))

    def _write(self, disk: DiskTier, entry: Entry, packed: Record) -> int:
        """Writes a record; returns its bytes, or 0 if the write failed."""
        coming, head = Item(entry).stored(packed.size), Item(entry.head)
        try:
            with self.tiers.alone():
                self.shrink_disk(disk, self.tiers.budgets.disk, coming)
                self.shrink_headers(disk, head.stored(head.memory))
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
        """Makes room for an entry in memory.

        False, with nothing evicted, if it does not fit beside the headers of records on
        disk.
        """
        budget, catalogue = self.tiers.budgets.memory, self.tiers.catalogue
        listed = catalogue.get(entry.id)
        others = catalogue.headers - (0 if listed is None else listed.header)
        if entry.nbytes + others > budget:
            return False
        self.shrink_memory(budget, Item(entry).stored(entry.nbytes))
        return True
