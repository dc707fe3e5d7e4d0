"""A folder that appears only when it is complete."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Suffix of the file beside each complete part in a folder that is not yet complete.
FINISHED = ".finished.json"


class FolderInUse(ValueError):
    """Another process is writing the folder."""


@contextmanager
def aside(folder: Path) -> Iterator[Path]:
    """A folder to write into, renamed to `folder` when the block ends without an error.

    It is a hidden sibling, so that the final rename is atomic. If the block raises, it
    is removed; if the process is killed, the next process that writes to `folder`
    removes its content. Raises a ValueError if `folder` exists, cannot be made, or is
    being written by another process.
    """
    with resumed(folder) as partial:
        try:
            for path in partial.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            yield partial
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


@contextmanager
def resumed(folder: Path) -> Iterator[Path]:
    """Like `aside`, but keeps what a killed or interrupted process wrote.

    An error removes the folder; Ctrl-C, like a kill, leaves it to the next process.
    """
    folder = folder.absolute()
    # A dangling link also counts as existing.
    if os.path.lexists(folder):
        raise ValueError(f"{folder} exists: remove it, or give a path that does not")
    partial = partial_folder(folder)
    lock = _claim(partial)
    try:
        yield partial
        _flush(partial)
        partial.rename(folder)
        _flush_directory(folder.parent)
    except Exception:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def partial_folder(folder: Path) -> Path:
    """The folder in which `aside` writes until `folder` is complete."""
    return folder.absolute().with_name(f".{folder.absolute().name}.partial")


def in_use(folder: Path) -> bool:
    """Whether a process is writing `folder`."""
    try:
        os.close(_locked(partial_folder(folder)))
    except FolderInUse:
        return True
    except OSError:
        pass
    return False


def remove_partial(folder: Path) -> None:
    """Removes what a killed writer of `folder` left, unless a process is writing it."""
    partial = partial_folder(folder)
    try:
        lock = _locked(partial)
    except (FolderInUse, FileNotFoundError):
        return
    try:
        shutil.rmtree(partial)
    finally:
        os.close(lock)


def check_space(folder: Path, needed: int) -> None:
    """Raises a ValueError if the disk of `folder` has less than `needed` bytes free."""
    parent = folder.absolute().parent
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    if needed > free:
        raise ValueError(
            f"{folder} needs {needed / 1e9:.1f} GB, but {parent} has {free / 1e9:.1f} "
            "GB free: make room or choose another disk"
        )


def _claim(partial: Path) -> int:
    """Makes the folder if needed, and locks it until its handle is closed."""
    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir(exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"cannot write beside {partial.parent / partial.name[1:-8]}: "
            f"{error.strerror}; choose a folder that you may write to"
        ) from error
    return _locked(partial)


def _locked(partial: Path) -> int:
    handle = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise FolderInUse(
            f"another process is writing {partial}: wait for it"
        ) from error
    if not partial.exists() or not os.path.samestat(os.fstat(handle), partial.stat()):
        os.close(handle)
        raise FolderInUse(f"another process has just written {partial}: try again")
    return handle


def _flush(folder: Path) -> None:
    for path, _, files in os.walk(folder):
        for name in files:
            handle = os.open(os.path.join(path, name), os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        _flush_directory(Path(path))


def _flush_directory(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
