"""A cache of conversions: published files are converted once and then reused."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chorus_jax.checkpoints import FolderInUse
from chorus_jax.checkpoints.folder import in_use
from convert import dtypes
from convert.adapters import Adapter, merged
from convert.conversion import Order, Prepared, check, convert, prepare, work
from convert.digests import Progress, checked_digest
from convert.families import family_of
from convert.identity import digested, identity
from convert.parts_apart import PartsApart
from convert.progress import counting, shown
from convert.source import Source

DIGESTS = "digests.json"  # digests of source files, so that large ones are read once
POLL = 1.0  # seconds between looks at a conversion of another process


@dataclass(frozen=True)
class SourceOptions:
    """Files and options that are given in addition to a model's path.

    Attributes:
        given: files of single parts.
        adapters: LoRAs, as `FILE`, `FILE:0.8` or `low=FILE:0.8`.
        skip_missing: whether to skip a LoRA's changes to modules that the model lacks.
        dtype: the dtypes, in the format of `convert.dtypes.parse`.
    """

    given: PartsApart = field(default_factory=PartsApart)
    adapters: Sequence[str] = ()
    skip_missing: bool = False
    dtype: str = dtypes.DEFAULT


def converted(
    path: Path, options: SourceOptions, cache: Path, say: Callable[[str], object]
) -> Path:
    """Converts a model's files into the cache, unless they are there already.

    The same files with the same options give the same folder wherever they are. LTX's
    version is read from the names of files and folders too: renamed ones are converted
    again.

    Args:
        path: a folder as published, a hub cache folder, or a single file.
        options: further files and options.
        cache: the cache folder; made if missing.
        say: called with a line of text when a conversion begins, or when this call
            begins to wait for another process's conversion.

    Returns:
        The folder of the converted model.

    Raises:
        ValueError: for a source that cannot be converted, before anything is written.
    """
    family = family_of(path)
    source = family.open(path, options.given)
    adapters = [Adapter.parse(text) for text in options.adapters]
    source = merged(source, adapters, options.skip_missing)
    parts = prepare(source, family.kinds, dtypes.parse(options.dtype, family.kinds))
    check(parts)
    digests = KnownDigests(cache / DIGESTS)
    folder = cache / f"{path.stem}-{key(source, parts, digests)[:16]}"
    while not folder.exists():
        size = sum(part.nbytes for part in parts.values())
        say(f"{path} is converted, once, into {folder} ({size / 1e9:.2f} GB)")
        try:
            with quiet("absl"), shown(work(source, parts, 1)) as bar:
                convert(
                    source, parts, folder, Order(False, counting(bar), digest=digests)
                )
        except FolderInUse:
            say(f"another process is converting {path}: waiting for it")
            wait(folder)
    return folder


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Context in which a logger logs only errors.

    Used to hide Orbax's warning that there is nothing to merge, which is intended.
    """
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def key(source: Source, parts: Mapping[str, Prepared], digests: "KnownDigests") -> str:
    """A digest of everything that determines the content of the converted folder."""
    return digested(
        [
            {
                name: identity(part.plan, part.module.config, digests)
                for name, part in parts.items()
            },
            sorted(digests(file) for file in source.tokenizer.files()),
            source.scheduler,
            dict(source.settings),
            source.family,
        ]
    )


def wait(folder: Path) -> None:
    """Waits until another process has written the folder, or has ended."""
    while in_use(folder):
        time.sleep(POLL)


class KnownDigests:
    """Digests of source files, cached in a file by path, size, time and inode."""

    def __init__(self, file: Path):
        self._file = file

    def __call__(self, file: Path, progress: Progress = lambda _: None) -> str:
        """The digest of a file.

        `progress` is called with the number of bytes, also if the digest is cached.
        """
        stat, known = file.stat(), self._read()
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        name = str(file.resolve())
        entry = known.get(name)
        if isinstance(entry, list) and entry[:-1] == state:
            progress(stat.st_size)
            return str(entry[-1])
        digest = checked_digest(file, progress)
        self._write(self._read() | {name: [*state, digest]})
        return digest

    def _read(self) -> dict:
        try:
            return dict(json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError):
            return {}

    def _write(self, known: Mapping[str, list]) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        aside.write_text(json.dumps(known))
        os.replace(aside, self._file)
