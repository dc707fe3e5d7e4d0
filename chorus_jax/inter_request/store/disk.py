"""The tier on disk: one record a file, in a folder that several processes may share.

What is damaged is dropped with a log line and never served. What cannot be read, as
when too many files are open, is neither: it is an OSError. What is not this store's, or
not whole, stays and is counted. It knows no budget.
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
from chorus_jax.inter_request.store.record import Opened, Record, UnknownError
from chorus_jax.inter_request.store.secret import Secret

SUFFIX = ".record"

log = logging.getLogger(__name__)

T = TypeVar("T")


class Scan(NamedTuple):
    """The difference between a folder and the known records.

    Attributes:
        records: those that are not known yet.
        gone: ids of known ones that are not there any more.
        unread: the bytes of those that cannot be read, by id.
        unknown: the bytes of those that are not this store's, by id (`UnknownError`).
    """

    records: list[Item]
    gone: set[str]
    unread: dict[str, int]
    unknown: dict[str, int]


class DiskTier:
    """The records in a folder. Any number of threads may read at once.

    OSError if the folder cannot be made or written to. What killed processes left
    half-written is removed.
    """

    def __init__(self, path: Path, secret: Secret):
        self.folder, self.secret = Folder(path), secret
        self._syncs = ThreadPoolExecutor(1, "chorus-sync")
        with self.folder.locked():
            self.folder.sweep()

    def scan(self, known: set[str]) -> Scan:
        """Compares the folder with the known records. OSError if it cannot be read.

        Others may write and remove records meanwhile.
        """
        ids = self._ids()
        see = lambda _, one: Item(one.described.head, disk=one.size)
        # A listing may miss what is replaced under it.
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

    def write(self, entry: Entry, packed: Record) -> None:
        """Writes a record; OSError if it cannot be. Only while the lock is held."""
        used = entry.statistics.last_used
        self.folder.write(entry.id + SUFFIX, packed.pieces, used)
        # Apart: no request waits for the disk. Nothing is begun while Python ends.
        with suppress(RuntimeError):
            self._syncs.submit(self._sync, entry.id)

    def load(self, id: str) -> Entry | None:
        """The entry of a record, None if it is gone or no good. OSError if it cannot be
        read."""
        return self._read(id, record.entry)

    def used(self, id: str, when: float) -> None:
        """Notes when an entry was last used. OSError if it cannot be."""
        with suppress(FileNotFoundError):
            os.utime(self._path(id), (when, when), follow_symlinks=False)

    def exists(self, id: str) -> bool:
        """Whether there is a record of this id, as far as one can look."""
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
        """Gives the folder back, once all records would survive a loss of power."""
        self._syncs.shutdown()
        self.folder.close()

    def _sync(self, id: str) -> None:
        try:
            self.folder.sync(id + SUFFIX)
        except FileNotFoundError:
            pass  # it was evicted meanwhile
        except OSError as error:
            log.warning("a loss of power may lose the record %s: %s", id, error)

    def _read(self, id: str, use: Callable[[int, Opened], T]) -> T | None:
        """The result of `use` on the open file and its record; None if there is none.

        One that is damaged is removed. OSError if it cannot be read, or not be removed,
        UnknownError if it is not this store's to judge.
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
