"""Writes files that appear at their paths only when they are complete.

Until then a file has a temporary name in the same folder.
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def half_written(folder: Path) -> Iterator[Path]:
    """The temporary files in a folder of what this process is writing there."""
    return folder.glob(f"{_prefix()}*")


def _prefix() -> str:
    return f".writing-{os.getpid()}-"


@contextlib.contextmanager
def aside(path: str | Path, keep: bool = True) -> Iterator[Path]:
    """A temporary path in the same folder; replaces `path` at the end if `keep`."""
    path = Path(path)
    try:
        folder = tempfile.TemporaryDirectory(prefix=_prefix(), dir=path.parent)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write {path}: its folder is missing or not writable "
            f"({error.strerror}); make the folder or choose another path",
        ) from error
    with folder as name:
        part = Path(name) / path.name
        yield part
        if keep:
            os.replace(part, path)
