"""A folder shared by processes: one writer at a time, and files appear only complete.

This module does not interpret the content of the files.
"""

import errno
import fcntl
import logging
import os
import secrets
import stat
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

PARTIAL = ".partial"
LOCK = "lock"
COUNT_BYTES = 8
# Do not follow links, and do not block on pipes.
FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
PATIENCE = 10.0  # seconds to wait for a lock that another process holds
PAUSE = 0.01  # seconds between attempts


class Folder:
    """A folder, made if missing, whose files only their owner can read.

    Raises:
        OSError: if the folder cannot be made or written to.
    """

    def __init__(self, path: Path):
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._open()

    def _open(self) -> None:
        self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | FLAGS, 0o600)
        self._closed = weakref.finalize(self, os.close, self._lock)
        check_regular(self._lock)
        self._seen, self._process = -1, os.getpid()

    @property
    def changed(self) -> bool:
        """Whether another process may have changed the folder since it was last read.

        Both `looking` and `locked` count as reading it. The check costs one small read.
        """
        return self._count() != self._seen

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Context in which the folder is read without a lock and without waiting.

        Afterwards `changed` is True if changes came after the start, if another process
        was in the middle of a change, or if the block raised an error. No other thread
        of this process may be in this context or hold the lock.
        """
        settled = self._settled()
        yield
        self._seen = self._seen if settled is None else settled

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Locks the folder against other processes, waiting if one holds the lock.

        Yields whether another process may have changed the folder since this process
        last looked at it or locked it without an error. Only one thread of a process
        may use this context at a time, because flock does not exclude threads.

        Raises:
            TimeoutError: (an OSError) if another process holds the lock for longer than
                `PATIENCE` seconds.
        """
        self._take()
        try:
            count = self._count()
            ours = (count + 1) % 2**63
            # Counted before any change, so that others notice even the changes of a
            # process that is killed midway.
            os.pwrite(self._lock, ours.to_bytes(COUNT_BYTES, "little"), 0)
            yield count != self._seen
            self._seen = ours
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _take(self) -> None:
        """Takes the lock on the file that currently has the lock's name.

        The file is opened again after a fork, and if it was removed or replaced
        meanwhile.
        """
        end = time.monotonic() + PATIENCE
        while True:
            self._reopened_after_fork()
            if not self._same():
                self._closed()
                self._open()
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise TimeoutError(
                        f"another process has held {self.path / LOCK} for "
                        f"{PATIENCE:g} s: is it stopped?"
                    ) from error
                time.sleep(PAUSE)
                continue
            if self._same():
                return
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _reopened_after_fork(self) -> None:
        """Opens the lock file again in a forked child: with the parent's open file, a
        lock that the child takes or leaves would be the parent's too."""
        if self._process != os.getpid():
            self._closed()
            self._open()

    def _same(self) -> bool:
        """Whether the open lock file is still the file of that name."""
        try:
            named = os.stat(self.path / LOCK, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(self._lock))

    def write(
        self, name: str, pieces: Iterable[bytes | memoryview], changed: float
    ) -> None:
        """Writes a file under a temporary name and renames it when it is complete.

        Until `sync` a loss of power may lose or damage it. The caller must hold the
        lock, since otherwise `sweep` might remove the temporary file.

        Args:
            name: the file's name; an existing file is replaced.
            pieces: the content.
            changed: the file's modification time, in seconds since the epoch.
        """
        aside = self.path / f".{name}.{secrets.token_hex(8)}{PARTIAL}"
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(handle, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.utime(handle, (changed, changed))
            os.rename(aside, self.path / name)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise

    def sweep(self) -> None:
        """Removes files of killed processes. The caller must hold the lock."""
        for path in self.path.glob(f".*{PARTIAL}"):
            if path.is_file() or path.is_symlink():
                path.unlink(missing_ok=True)
                log.warning("dropped %s, which was half written", path)

    def remove(self, name: str) -> None:
        """Removes a file; one that is gone already is no error."""
        (self.path / name).unlink(missing_ok=True)

    def sync(self, name: str = ".") -> None:
        """Syncs a file and the folder's listing to disk (fsync)."""
        for path in {self.path / name, self.path}:
            handle = os.open(path, os.O_RDONLY | FLAGS)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def close(self) -> None:
        """Closes the lock file."""
        self._closed()
        # The descriptor's number may soon be reused for another file.
        self._lock = -1

    def _count(self) -> int:
        return int.from_bytes(os.pread(self._lock, COUNT_BYTES, 0), "little")

    def _settled(self) -> int | None:
        """The number of changes so far, or None while the folder is locked."""
        self._reopened_after_fork()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        try:
            return self._count()
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def check_regular(handle: int) -> None:
    """Raises OSError if an open file is a pipe, device or folder."""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(errno.EINVAL, "it is not a plain file")
