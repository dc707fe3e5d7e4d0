"""The store: entries of earlier requests in memory and on disk, within budgets.

The store does not measure similarity. Indexes do, and they follow its changes as
watchers (`Store.watch`).
"""

import errno
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chorus_jax.inter_request.store.catalogue import Item
from chorus_jax.inter_request.store.disk import DiskTier
from chorus_jax.inter_request.store.entry import Entry, EntryHeader
from chorus_jax.inter_request.store.eviction import Eviction, FairShare
from chorus_jax.inter_request.store.loading import Loads
from chorus_jax.inter_request.store.placing import Placing
from chorus_jax.inter_request.store.secret import Secret
from chorus_jax.inter_request.store.tiers import StorageTiers, Watcher

log = logging.getLogger(__name__)


class Store:
    """Entries by id, in memory and in a folder.

    Thread-safe; several processes may share one folder. Headers of records are read at
    the start and stay in memory. Latents are read on demand, and stay in memory if
    there is room beside the headers. Headers may take 64 MiB even if `memory_bytes` is
    less; when they would exceed their limit, entries are evicted from the disk.

    If the disk is full, new entries stay in memory, with a log line (see `degraded`).
    Damage to one file of the folder loses at most the record in it.

    Args:
        memory_bytes: the most bytes in memory.
        folder: the folder for records on disk; None to write nothing.
        disk_bytes: the most bytes of records in the folder.
        eviction: the policy that chooses which entries are evicted.
        secret: 16 to 64 random bytes, the key of the digests of prompts and words.
            Without it anyone who can read the folder can test guesses against them.
            Records made with another secret are left alone (see `unknown`).
        clock: returns the time in seconds since the epoch.

    Raises:
        ValueError: if the folder cannot be used.
    """

    def __init__(
        self,
        memory_bytes: int,
        *,
        folder: str | Path | None = None,
        disk_bytes: int | None = None,
        eviction: Eviction = FairShare(),
        secret: bytes | None = None,
        clock: Callable[[], float] = time.time,
    ):
        if (folder is None) != (disk_bytes is None):
            raise ValueError(
                f"a folder and its budget go together, got {folder=} and {disk_bytes=}"
            )
        budgets = memory_bytes, disk_bytes or 0
        if min(budgets) < 0:
            raise ValueError(f"budgets are bytes, 0 or more; got {budgets}")
        self.secret = Secret() if secret is None else Secret(secret)
        disk = None if folder is None else _open(Path(folder), self.secret)
        self._tiers = StorageTiers(disk, *budgets, eviction, clock)
        self._placing = Placing(self._tiers)
        self._loads = Loads(self._placing.load)
        if disk is not None:
            with self._tiers.writing, self._tiers.alone():
                self._tiers.adopt(disk)
                self._placing.shrink_disk(disk)

    def __len__(self) -> int:
        with self._tiers.lock:
            return len(self._tiers.catalogue)

    def __iter__(self) -> Iterator[EntryHeader]:
        """The headers of all entries of all namespaces, to build an index from."""
        with self._tiers.lock:
            return iter([item.head for item in self._tiers.catalogue])

    @property
    def memory_used(self) -> int:
        """Bytes of entries in memory, and of the headers of those on disk."""
        return self._tiers.catalogue.memory

    @property
    def disk_used(self) -> int:
        """Bytes of records on disk, including those that cannot be read."""
        with self._tiers.lock:
            return self._tiers.disk_used

    @property
    def unknown(self) -> int:
        """The number of files in the folder that this store leaves alone.

        They are incomplete, or belong to another store or version.
        """
        with self._tiers.lock:
            return len(self._tiers.unknown)

    @property
    def degraded(self) -> bool:
        """Whether the last entry stayed in memory because writing to disk failed."""
        return self._placing.degraded

    def admit(self, entry: Entry) -> bool:
        """Stores a copy of an entry; False if neither memory nor disk takes it.

        It replaces entries of its namespace with the same exact request (see
        `Catalogue.repeats`). Once on disk it survives the end of this process. A loss
        of power may lose it until a thread has synced the file, moments later, but an
        incomplete record is never served.
        """
        return self._placing.add(entry.owned())

    def head(self, id: str, namespace: str) -> EntryHeader | None:
        """The header of an entry, or None if it is not here or not for this namespace.

        It does not read the record: only `get` notices if its file is gone.
        """
        self.refresh()
        with self._tiers.lock:
            item = self._tiers.catalogue.get(id, namespace)
        return None if item is None else item.head

    def get(self, id: str, namespace: str) -> Entry | None:
        """An entry, or None if it is not here or not for this namespace.

        Checksums are verified when it is read from disk; a damaged record is dropped
        with a log line. For a record that cannot be read the result is None, with a log
        line, and the record stays.
        """
        item = self._item(id, namespace)
        if item is None or item.entry is None:
            return None if item is None else self._loads(id)
        return item.entry.used(item.head.last_used)

    def prefetch(self, id: str, namespace: str) -> None:
        """Starts to load an entry in a thread, for a `get` that follows soon.

        The entry stays in memory if the budget has room for it.
        """
        item = self._item(id, namespace)
        if item is not None and item.entry is None:
            self._loads.prefetch(id)

    def find(
        self,
        exact: str,
        namespace: str,
        wanted: Callable[[EntryHeader], bool] = lambda head: True,
    ) -> str | None:
        """The id of an entry of this exact request, or None.

        Args:
            exact: the request's digest (`Secret.exact`).
            namespace: the namespace whose entries are searched beside the shared ones.
            wanted: whether an entry with this header is accepted; it must not use the
                store.
        """
        self.refresh()
        with self._tiers.lock:
            head = self._tiers.catalogue.find(exact, namespace, wanted)
        return None if head is None else head.id

    def hit(self, id: str, namespace: str | None = None) -> None:
        """Notes that an entry was used now, in memory and on disk, for eviction.

        Does nothing if the entry is gone or the namespace may not use it.

        Args:
            id: the entry's id.
            namespace: the namespace that used it; None to skip this check.
        """
        tiers, now = self._tiers, self._tiers.clock()
        with tiers.lock:
            item = tiers.catalogue.get(id, namespace)
            if item is None:
                return
            tiers.catalogue.put(item.used(max(now, item.head.last_used)))
        disk = tiers.disk
        if disk is not None and item.disk:
            try:
                disk.used(id, now)
            except OSError as error:
                log.warning("cannot note the use of the record %s: %s", id, error)

    def delete(self, id: str, namespace: str | None = None) -> bool:
        """Removes an entry from memory and disk.

        Returns False if it is not here, or if a namespace is given and the entry
        belongs to another one.

        Raises:
            OSError: if the record cannot be removed.
        """

        def wanted(item: Item) -> bool:
            return item.id == id and namespace in (None, item.head.namespace)

        return self._delete(wanted) > 0

    def delete_namespace(self, namespace: str) -> int:
        """Removes all entries of a namespace, shared ones too; returns how many.

        Other processes drop their copies in memory when they next look at the folder.

        Raises:
            OSError: if a record cannot be removed; also, after the removal, if some
                record cannot be read, since it may belong to this namespace.
        """
        removed = self._delete(lambda item: item.head.namespace == namespace)
        with self._tiers.lock:
            unread = len(self._tiers.unread)
        if unread:
            raise OSError(
                errno.EIO,
                f"{removed} entries of {namespace!r} are removed, but {unread} records "
                "cannot be read now and may be its too: ask again",
            )
        return removed

    def refresh(self) -> None:
        """Takes in the changes that other processes made to the folder.

        Every look-up of this class calls it first. It never waits for other processes,
        and costs one small read if nothing changed.
        """
        self._tiers.refresh()

    def watch(self, watcher: Watcher) -> None:
        """Reports all present entries to a watcher, and every later change."""
        with self._tiers.lock:
            for item in self._tiers.catalogue:
                watcher.admitted(item.head)
            self._tiers.watchers.append(watcher)

    def close(self) -> None:
        """Ends the threads and closes the folder."""
        self._loads.close()
        if self._tiers.disk is not None:
            self._tiers.disk.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _item(self, id: str, namespace: str) -> Item | None:
        """An item, or None also if another process has removed its record."""
        self.refresh()
        tiers = self._tiers
        with tiers.lock:
            item = tiers.catalogue.get(id, namespace)
            if item is None or tiers.disk is None or not item.disk:
                return item
            if tiers.disk.exists(id):
                return item
            tiers.catalogue.remove(id)
            return None

    def _delete(self, wanted: Callable[[Item], bool]) -> int:
        tiers = self._tiers
        with tiers.writing, tiers.alone():
            with tiers.lock:
                chosen = [item.id for item in tiers.catalogue if wanted(item)]
                for id in chosen:
                    tiers.forget(id)
            if chosen and tiers.disk is not None:
                tiers.disk.folder.sync()
        return len(chosen)


def _open(folder: Path, secret: Secret) -> DiskTier | None:
    """The disk tier in a folder; None, with a log line, if the disk is full."""
    try:
        return DiskTier(folder, secret)
    except OSError as error:
        if isinstance(error, TimeoutError):
            raise ValueError(f"cannot keep entries in {folder}: {error}") from error
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise ValueError(
                f"cannot keep entries in {folder}: {error.strerror or error}; choose a "
                "folder that you may write to"
            ) from error
        log.warning("entries stay in memory, not in %s: %s", folder, error)
        return None
