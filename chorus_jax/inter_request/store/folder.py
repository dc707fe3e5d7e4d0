"""A folder that several processes change: one at a time, files whole or not at all.

It knows nothing of what the files hold.
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
# No link is followed, and a pipe is not waited for.
FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
PATIENCE = 10.0  # seconds that another process may hold the lock
PAUSE = 0.01


class Folder:
    """A folder (made if it is not there) whose files only their owner can read.

    OSError if it cannot be made or written to.
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
        """Whether another process may have changed the folder since we last looked, or
        locked it. One small read."""
        return self._count() != self._seen

    @contextmanager
    def looking(self) -> Iterator[None]:
        """For a look at the folder that keeps nobody out and waits for nobody.

        Afterwards `changed` tells of what came since, of what a process was in the
        midst of, and of all again after an error. Not while another thread is in here
        or has the lock.
        """
        settled = self._settled()
        yield
        self._seen = self._seen if settled is None else settled

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Keeps other processes from changing the folder, and waits for one that does.

        Yields whether one may have changed it since we last held the lock and no error
        came of it. Not for two threads at once: flock would let both in. TimeoutError
        (an OSError) if another process holds the lock for `PATIENCE` seconds.
        """
        self._take()
        try:
            count = self._count()
            ours = (count + 1) % 2**63
            # Counted before any change: nobody misses those of a killed process.
            os.pwrite(self._lock, ours.to_bytes(COUNT_BYTES, "little"), 0)
            yield count != self._seen
            self._seen = ours
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _take(self) -> None:
        """Takes the lock of the file that has the lock's name now.

        After a fork the file is opened again, since flock would let parent and child
        in; so it is where the file was removed or replaced under us.
        """
        end = time.monotonic() + PATIENCE
        while True:
            if self._process != os.getpid() or not self._same():
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

    def _same(self) -> bool:
        """Whether the open file is the one that has the lock's name."""
        try:
            named = os.stat(self.path / LOCK, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(self._lock))

    def write(
        self, name: str, pieces: Iterable[bytes | memoryview], changed: float
    ) -> None:
        """Writes a file that appears, or replaces another, only when it is complete;
        a loss of power may lose or damage it until `sync`.

        `changed` is its time of change, in seconds since the epoch. Only while the lock
        is held: `sweep` would remove it otherwise.
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
        """Removes what killed processes left behind. Only while the lock is held."""
        for path in self.path.glob(f".*{PARTIAL}"):
            if path.is_file() or path.is_symlink():
                path.unlink(missing_ok=True)
                log.warning("dropped %s, which was half written", path)

    def remove(self, name: str) -> None:
        """Removes a file; one that is gone already is no error."""
        (self.path / name).unlink(missing_ok=True)

    def sync(self, name: str = ".") -> None:
        """Makes a file, and what the folder lists, survive a loss of power."""
        for path in {self.path / name, self.path}:
            handle = os.open(path, os.O_RDONLY | FLAGS)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    def close(self) -> None:
        """Gives the lock's file back."""
        self._closed()
        # The number may soon be another file's.
        self._lock = -1

    def _count(self) -> int:
        return int.from_bytes(os.pread(self._lock, COUNT_BYTES, 0), "little")

    def _settled(self) -> int | None:
        """The count of changes, None while a process makes the last of them."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        try:
            return self._count()
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def check_regular(handle: int) -> None:
    """OSError unless the open file is a plain one: no pipe, device or folder."""
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(errno.EINVAL, "it is not a plain file")
