"""The two tiers, memory and disk, and what is in each.

A new entry goes to both. What is evicted from one stays in the other; in neither, it is
gone. Order of locks: `looking`, `writing`, the folder's (other processes), `lock`.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from chorus_jax.inter_request.store.catalogue import Catalogue, Item
from chorus_jax.inter_request.store.disk import DiskTier
from chorus_jax.inter_request.store.entry import EntryHeader
from chorus_jax.inter_request.store.eviction import Eviction
from chorus_jax.inter_request.store.record import UnknownError

HEADERS = 2**26

log = logging.getLogger(__name__)

T = TypeVar("T")


@runtime_checkable
class Watcher(Protocol):
    """Hears of every entry that comes and goes, one at a time and in that order.

    It must not use the store, nor wait for a thread that does.
    """

    def admitted(self, head: EntryHeader) -> None:
        """An entry came."""

    def removed(self, id: str) -> None:
        """An entry went: evicted, deleted, damaged, or removed by another process."""


@dataclass(frozen=True)
class Budgets:
    """The most that memory and disk may hold.

    Attributes:
        memory: bytes of entries in memory, and of headers, 0 or more.
        disk: bytes of the records on disk, 0 or more.

    Raises:
        ValueError: for a budget below 0.
    """

    memory: int
    disk: int

    @property
    def headers(self) -> int:
        """The most bytes of headers, which may take `HEADERS` of a smaller memory."""
        return max(self.memory, HEADERS)

    def __post_init__(self) -> None:
        if min(self.memory, self.disk) < 0:
            raise ValueError(f"budgets are bytes, 0 or more; got {self}")


@dataclass
class StorageTiers:
    """Memory, disk and their catalogue.

    The catalogue is read and changed under `lock`; one thread at a time, with
    `writing`, writes records, and one, with `looking`, looks at what other processes
    did. `unread` are the bytes of records that could not be read, and so are not in
    the catalogue; `unknown` those of files that are no records of this store.

    Attributes:
        disk: the records; None for memory only.
        budgets: the most bytes of both.
        eviction: the policy that makes room.
        clock: gives seconds since the epoch.
        watchers: hear of every entry that comes and goes.
    """

    disk: DiskTier | None
    budgets: Budgets
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
    def disk_used(self) -> int:
        """The bytes of all records, under `lock`."""
        return self.catalogue.disk + sum(self.unread.values())

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes from the disk; what they changed is known then.

        Under `writing` only.
        """
        if self.disk is None:
            yield
            return
        with self.disk.folder.locked() as changed:
            if changed or self.unread:
                self.adopt(self.disk)
            yield

    def refresh(self) -> None:
        """Learns what other processes finished, and waits for none of them.

        If nothing changed that is one small read.
        """
        try:
            if self.disk is not None and self.disk.folder.changed:
                with self.looking:
                    self._look(self.disk)
        except OSError as error:
            log.warning("cannot see what other processes left: %s", error)

    def adopt(self, disk: DiskTier) -> None:
        """Learns what came to the disk and what is gone from it. Under `writing`."""
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

    def read(self, id: str, how: Callable[[str], T | None]) -> T | None:
        """The result of `how` on a record; None, and the record is forgotten, if there
        is none.

        None also if it cannot be read, with a log line; it is not forgotten then. One
        that has become no record of this store stays on disk.
        """
        try:
            value = how(id)
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
        if value is None:
            with self.lock:
                self.catalogue.remove(id)
        return value

    def put(self, item: Item) -> None:
        """Lists an entry, in place of what was known of it. Under `lock`."""
        new = self.catalogue.get(item.id) is None
        self.catalogue.put(item)
        if new:
            for watcher in self.watchers:
                watcher.admitted(item.head)

    def forget(self, id: str) -> None:
        """Removes an entry from both tiers. Under `lock`."""
        # In this order: a record that cannot be removed is still there.
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
        # A thread of ours that writes learns it itself, and may take long.
        if disk.folder.changed and self.writing.acquire(blocking=False):
            try:
                with disk.folder.looking():
                    self.adopt(disk)
            finally:
                self.writing.release()

    def _gone(self, id: str) -> None:
        for watcher in self.watchers:
            watcher.removed(id)
