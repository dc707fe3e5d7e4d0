"""Cleanups of an interrupted command: half-written files are removed or completed."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from chorus_jax.checkpoints.folder import FINISHED, partial_folder
from chorus_jax.devices.compilation import programs_folder
from chorus_jax.inter_request.store.folder import LOCK, PARTIAL
from chorus_jax.media import writing

PATIENCE = 2.0  # seconds to wait for a record that is being written
RECENT = 1.0  # seconds within which a compiled program may be half-written


def half_written_videos(folder: Path) -> Callable[[], None]:
    """A cleanup that removes this process's half-written files from a folder."""

    def remove() -> None:
        for path in writing.half_written(folder):
            shutil.rmtree(path, ignore_errors=True)

    return remove


def half_written_checkpoint(folder: Path) -> Callable[[], None]:
    """A cleanup that removes a half-written checkpoint folder, unless some of its parts
    are complete: the next conversion resumes from them."""
    partial = partial_folder(folder)

    def remove() -> None:
        if not any(partial.glob(f"*{FINISHED}")):
            shutil.rmtree(partial, ignore_errors=True)

    return remove


def half_written_records(folder: Path) -> Callable[[], None]:
    """A cleanup that takes a cache folder's lock and removes half-written records.

    It waits up to `PATIENCE` seconds for the lock, and removes nothing without it. The
    lock is held until the process ends.
    """

    def remove() -> None:
        handle = os.open(folder / LOCK, os.O_RDWR)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            for path in folder.glob(f".*{PARTIAL}"):
                path.unlink(missing_ok=True)
            return

    return remove


def half_written_programs() -> None:
    """Removes the programs that jax has just put into its compilation cache.

    Jax writes them in place and never replaces one, so a half-written one would stay.
    Programs that other processes wrote in this second go too, and are compiled again.
    """
    since = time.time() - RECENT
    for path in programs_folder().glob("*-cache"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime >= since:
                path.unlink()
