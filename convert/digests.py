"""Digests of a source's files, computed in a thread during the conversion."""

import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from convert.pickled import check_checksums
from convert.source import Source, sha256

Progress = Callable[[int], object]
TakeDigest = Callable[[Path, Progress], str]  # digests a file and reports progress


def checked_digest(file: Path, progress: Progress) -> str:
    """The SHA-256 of a file. Raises a ValueError if a checksum inside a zip file is
    wrong."""
    digest = sha256(file, progress)
    if zipfile.is_zipfile(file):
        check_checksums(file)
    return digest


class FileDigests:
    """The digests of a source's files; calling it waits until a digest is computed."""

    def __init__(self, source: Source, pending: dict[Path, "Future[str]"]):
        self._source, self._pending = source, pending

    def __call__(self, file: Path) -> str:
        """The digest of a file of the source."""
        return self._pending[file].result()

    def named(self) -> dict[str, str]:
        """All digests, by the path within the source's folder.

        A file outside that folder, such as a LoRA, is listed by its name alone, with a
        prefix of its digest if the name is taken.
        """
        named: dict[str, str] = {}
        for file in self._source.files():
            name, digest = file.name, self(file)
            if file.is_relative_to(self._source.folder):
                name = str(file.relative_to(self._source.folder))
            named[f"{digest[:8]}-{name}" if name in named else name] = digest
        return named


@contextmanager
def file_digests(
    source: Source, take: TakeDigest, progress: Progress
) -> Iterator[FileDigests]:
    """Computes the digests of all files in a thread while the block runs.

    An error in the block stops the thread.
    """
    ended = threading.Event()

    def passed(count: int) -> None:
        if ended.is_set():
            raise CancelledError
        progress(count)

    with ThreadPoolExecutor(1) as pool:
        try:
            pending = {file: pool.submit(take, file, passed) for file in order(source)}
            yield FileDigests(source, pending)
        except BaseException:
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def order(source: Source) -> Sequence[Path]:
    """All files in the order in which their digests are needed, part by part."""
    parts = [file for part in source.components.values() for file in part.files]
    return list(dict.fromkeys([*source.others, *parts, *source.files()]))
