"""Entries into the tiers, and from disk into memory."""

import logging
from contextlib import suppress
from dataclasses import dataclass

from chorus_jax.inter_request.store import record, room
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
                tiers.put(entry.head, entry if fits else None, size)
                # A repeat that stays on disk is no more than a waste.
                with suppress(OSError):
                    for id in tiers.catalogue.repeats(entry):
                        tiers.forget(id)
        return True

    def load(self, id: str) -> Entry | None:
        """An entry from disk, which then is in memory too if there is room."""
        tiers, disk = self.tiers, self.tiers.disk
        loaded = None if disk is None else tiers.read(id, disk.load)
        if loaded is None:
            return None
        entry, size = loaded
        with tiers.lock:
            # It may have been deleted while it was read.
            if tiers.catalogue.get(id) is None:
                return None
            tiers.put(entry.head, entry if self._has_room(entry) else None, size)
        return entry

    def _write(self, disk: DiskTier, entry: Entry, packed: Record) -> int:
        """Writes a record; returns its bytes, 0 if the disk does not take it."""
        try:
            with self.tiers.alone():
                room.on_disk(
                    self.tiers,
                    disk,
                    self.tiers.budgets.disk,
                    stored(entry, packed.size),
                )
                disk.write(entry.id, packed)
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
        room.in_memory(self.tiers, budget, stored(entry, entry.nbytes))
        return True


def stored(entry: Entry, size: int) -> StoredItem:
    """An entry of so many bytes as a policy of eviction sees it."""
    return StoredItem(entry.id, entry.namespace, size, entry.statistics)
