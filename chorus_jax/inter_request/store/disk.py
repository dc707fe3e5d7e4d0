"""The disk tier: one file per record, in a folder that several processes may share.

Damaged records are removed with a log line and never served. Records that cannot be
read, for example because too many files are open, raise an OSError and are kept. Files
that are incomplete, or belong to another store or version, are kept and counted. This
module handles no budgets.
"""

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from chorus_jax.inter_request.store import record
from chorus_jax.inter_request.store.catalogue import Item
from chorus_jax.inter_request.store.entry import ID, Entry
from chorus_jax.inter_request.store.folder import FLAGS, Folder, check_regular
from chorus_jax.inter_request.store.head import Described
from chorus_jax.inter_request.store.record import UnknownError
from chorus_jax.inter_request.store.secret import Secret

SUFFIX = ".record"

log = logging.getLogger(__name__)

T = TypeVar("T")


class Scan(NamedTuple):
    """The difference between the files in a folder and the known records.

    Attributes:
        records: new records.
        gone: ids of known records whose files are gone.
        unread: bytes of new records that cannot be read, by id.
        unknown: bytes of new files that this store cannot judge, by id (see
            `UnknownError`).
    """

    records: list[Item]
    gone: set[str]
    unread: dict[str, int]
    unknown: dict[str, int]


class DiskTier:
    """The records in a folder. Any number of threads may read at once.

    At the start, files that killed processes left half-written are removed.

    Raises:
        OSError: if the folder cannot be made or written to.
    """

    def __init__(self, path: Path, secret: Secret):
        self.folder, self.secret = Folder(path), secret
        self._syncs = ThreadPoolExecutor(1, "chorus-sync")
        with self.folder.locked():
            self.folder.sweep()

    def scan(self, known: set[str]) -> Scan:
        """Compares the folder with the ids of known records.

        Other threads and processes may write and remove records meanwhile.

        Raises:
            OSError: if the folder cannot be read.
        """
        ids = self._ids()
        see = lambda _, one: Item(one.head, disk=one.size)
        # A listing may miss a file that is replaced at the same time.
        gone = {id for id in known - ids if not self.exists(id)}
        scan = Scan([], gone, {}, {})
        for id in sorted(ids - known):
            try:
                one = self._read(id, see)
            except OSError as error:
                log.warning("cannot read the record %s: %s", id, error)
                scan.unread[id] = self.size(id)
            except UnknownError:
                scan.unknown[id] = self.size(id)
            else:
                scan.records.extend([] if one is None else [one])
        return scan

    def write(self, entry: Entry, packed: bytes) -> None:
        """Writes a record. The caller must hold the folder's lock.

        Raises:
            OSError: if it cannot be written.
        """
        self.folder.write(entry.id + SUFFIX, [packed], entry.last_used)
        # In a thread, so that no request waits for the disk. While Python exits no
        # thread can be started.
        with suppress(RuntimeError):
            self._syncs.submit(self._sync, entry.id)

    def load(self, id: str) -> Entry | None:
        """The entry of a record; None if the record is gone or damaged.

        Raises:
            OSError: if it cannot be read.
            UnknownError: if this store cannot judge the file.
        """
        return self._read(id, record.entry)

    def used(self, id: str, when: float) -> None:
        """Stores when an entry was last used, in seconds since the epoch.

        Raises:
            OSError: if it cannot be stored.
        """
        with suppress(FileNotFoundError):
            os.utime(self._path(id), (when, when), follow_symlinks=False)

    def last_used(self, id: str) -> float | None:
        """When an entry was last used, by any process; None if that is not known."""
        with suppress(OSError):
            return os.stat(self._path(id), follow_symlinks=False).st_mtime
        return None

    def exists(self, id: str) -> bool:
        """Whether there is a record of this id; True if that cannot be determined."""
        try:
            os.stat(self._path(id))
        except FileNotFoundError:
            return False
        except OSError:
            pass
        return True

    def size(self, id: str) -> int:
        """The bytes of the record of this id, 0 if there is none."""
        try:
            return os.stat(self._path(id)).st_size
        except OSError:
            return 0

    def remove(self, id: str) -> None:
        """Removes a record, if it is there."""
        self.folder.remove(id + SUFFIX)

    def close(self) -> None:
        """Closes the folder after all records are synced to disk."""
        self._syncs.shutdown()
        self.folder.close()

    def _sync(self, id: str) -> None:
        try:
            self.folder.sync(id + SUFFIX)
        except FileNotFoundError:
            pass  # it was evicted meanwhile
        except OSError as error:
            log.warning("a loss of power may lose the record %s: %s", id, error)

    def _read(self, id: str, use: Callable[[int, Described], T]) -> T | None:
        """Calls `use` with the open file and its record, and returns the result.

        None if there is no such record, or if it was damaged, and so is removed.

        Raises:
            OSError: if the record cannot be read, or cannot be removed.
            UnknownError: if this store cannot judge the file.
        """
        path = self._path(id)
        try:
            handle = os.open(path, os.O_RDONLY | FLAGS)
            try:
                check_regular(handle)
                return use(handle, record.opened(handle, id, self.secret))
            finally:
                os.close(handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            if not os.path.isfile(path) or os.path.islink(path):
                raise UnknownError("it is no plain file") from error
            raise
        except ValueError as error:
            self.remove(id)
            log.warning("dropped the record %s: %s", id, error)
        return None

    def _ids(self) -> set[str]:
        names = os.listdir(self.folder.path)
        ids = {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)}
        return set(filter(ID.fullmatch, ids))

    def _path(self, id: str) -> str:
        return f"{self.folder.path}/{id}{SUFFIX}"
