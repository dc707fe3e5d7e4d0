"""The two tiers of the store, memory and disk, and the catalogue of both.

A new entry goes to both tiers. An entry evicted from one stays in the other; it is gone
when it is in neither. Locks are taken in this order: `looking`, `writing`, the lock of
the folder (against other processes), `lock`.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from chorus_jax.inter_request.store.catalogue import Catalogue, Item
from chorus_jax.inter_request.store.disk import DiskTier
from chorus_jax.inter_request.store.entry import Entry, EntryHeader
from chorus_jax.inter_request.store.eviction import Eviction
from chorus_jax.inter_request.store.record import UnknownError

HEADERS = 2**26

log = logging.getLogger(__name__)


@runtime_checkable
class Watcher(Protocol):
    """Notified of every entry that is admitted or removed, one at a time, in order.

    It must not use the store, nor wait for a thread that does.
    """

    def admitted(self, head: EntryHeader) -> None:
        """Called when an entry is admitted."""

    def removed(self, id: str) -> None:
        """Called when an entry is evicted, deleted, damaged, or removed elsewhere."""


@dataclass
class StorageTiers:
    """Memory, disk and their catalogue.

    `lock` guards the catalogue. `writing` is held by the one thread that writes
    records, `looking` by the one that checks for changes of other processes. By id,
    `unread` has the bytes of records that could not be read, and so are not in the
    catalogue, and `unknown` the bytes of files that are no records of this store.

    Attributes:
        disk: the disk tier; None for memory only.
        memory_bytes: the most bytes of entries and headers in memory.
        disk_bytes: the most bytes of records on disk.
        eviction: the policy that chooses which entries are evicted.
        clock: returns the time in seconds since the epoch.
        watchers: notified of every entry that is admitted or removed.
    """

    disk: DiskTier | None
    memory_bytes: int
    disk_bytes: int
    eviction: Eviction
    clock: Callable[[], float]
    watchers: list[Watcher] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writing, self.lock = threading.Lock(), threading.RLock()
        self.looking = threading.Lock()
        self.catalogue = Catalogue(self._gone)
        self.unread: dict[str, int] = {}
        self.unknown: dict[str, int] = {}

    @property
    def header_bytes(self) -> int:
        """The most bytes of headers: `memory_bytes`, or `HEADERS` if that is more."""
        return max(self.memory_bytes, HEADERS)

    @property
    def disk_used(self) -> int:
        """The bytes of all records. The caller must hold `lock`."""
        return self.catalogue.disk + sum(self.unread.values())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Locks the folder against other processes, and takes in their changes first.

        The caller must hold `writing`.
        """
        if self.disk is None:
            yield
            return
        with self.disk.folder.locked() as changed:
            if changed or self.unread:
                self.adopt(self.disk)
            yield

    def refresh(self) -> None:
        """Takes in finished changes of other processes, without waiting for any."""
        try:
            if self.disk is not None and self.disk.folder.changed:
                with self.looking:
                    self._look(self.disk)
        except OSError as error:
            log.warning("cannot see what other processes left: %s", error)

    def adopt(self, disk: DiskTier) -> None:
        """Updates the catalogue from the folder. The caller must hold `writing`."""
        with self.lock:
            known = {item.id for item in self.catalogue if item.disk}
        scan = disk.scan(known)
        with self.lock:
            self.unread = scan.unread
            self._tell_unknown(disk, scan.unknown)
            for id in scan.gone:
                self.catalogue.remove(id)
            for item in scan.records:
                self.put(item)

    def load(self, disk: DiskTier, id: str) -> Entry | None:
        """Reads an entry from disk; None, with a log line, if that is not possible.

        A damaged record or an unknown file is dropped from the catalogue; the unknown
        file stays on disk. A record that cannot be read stays listed.
        """
        try:
            entry = disk.load(id)
        except OSError as error:
            log.warning("cannot read the record %s, which stays: %s", id, error)
            return None
        except UnknownError as error:
            log.warning("left the record %s as it is: %s", id, error)
            with self.lock:
                item = self.catalogue.get(id)
                self.unknown[id] = 0 if item is None else item.disk
                self.catalogue.remove(id)
            return None
        if entry is None:
            with self.lock:
                self.catalogue.remove(id)
        return entry

    def put(self, item: Item) -> None:
        """Adds or replaces an item in the catalogue. The caller must hold `lock`."""
        new = self.catalogue.get(item.id) is None
        self.catalogue.put(item)
        if new:
            for watcher in self.watchers:
                watcher.admitted(item.head)

    def forget(self, id: str) -> None:
        """Removes an entry from both tiers. The caller must hold `lock`."""
        # The disk first: an entry whose record cannot be removed stays listed.
        if self.disk is not None:
            self.disk.remove(id)
        self.catalogue.remove(id)

    def _tell_unknown(self, disk: DiskTier, unknown: dict[str, int]) -> None:
        if unknown.keys() - self.unknown.keys():
            log.warning(
                "%d files (%d bytes) in %s are no records of this version, are of "
                "another secret, or not whole: they are left as they are and count for "
                "no budget; remove them if they are not another store's",
                len(unknown),
                sum(unknown.values()),
                disk.folder.path,
            )
        self.unknown = unknown

    def _look(self, disk: DiskTier) -> None:
        # A thread of this process that is writing takes in changes itself; waiting for
        # it could take long.
        if disk.folder.changed and self.writing.acquire(blocking=False):
            try:
                with disk.folder.looking():
                    self.adopt(disk)
            finally:
                self.writing.release()

    def _gone(self, id: str) -> None:
        for watcher in self.watchers:
            watcher.removed(id)
