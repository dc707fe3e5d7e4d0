"""`chorus cache DIR`: lists, checks and deletes the entries of a cache folder."""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus_jax.cli.cache_notes import drop_notes, read_note
from chorus_jax.inter_request.store import Store

MIB = 2**20
UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
HEAD: tuple[str, ...] = ("model", "frames x size", "sampling", "namespace")
HEAD += ("entries", "MiB", "made", "last used")


@dataclass(frozen=True)
class EntryRow:
    """One entry of the listing.

    Attributes:
        id: its 32 hex digits.
        recipe: the digest of its recipe, in hex.
        namespace: the namespace it belongs to.
        nbytes: bytes of its record on disk.
        created: when it was made, in seconds since the epoch.
        last_used: when it last was a hit, in seconds since the epoch.
    """

    id: str
    recipe: str
    namespace: str
    nbytes: int
    created: float
    last_used: float


def show_cache(options: argparse.Namespace) -> None:
    """Runs `chorus cache` with these options.

    Raises:
        ValueError: if the folder is no cache.
    """
    folder = options.folder
    check_folder(folder)
    if not any(folder.iterdir()):  # a Store would write its own files into it
        print(f"{folder} is empty: no request has left anything in it")
        return
    before = records(folder)
    with Store(0, folder=folder, disk_bytes=2**62) as store:
        rows = [row for row in rows_of(store, folder) if wanted(row, options)]
        if options.verify:
            readable = [row for row in rows if store.get(row.id, row.namespace)]
            lost = before - records(folder)
            print(f"{entries(readable)} read whole, {lost} damaged and dropped")
            rows = readable
        if options.delete:
            deleted = [row for row in rows if store.delete(row.id)]
            drop_notes(folder, {row.recipe for row in rows_of(store, folder)})
            print(f"deleted {entries(deleted)}, {mib(deleted)} MiB")
            return
    print(*table(rows, folder), sep="\n")


def check_folder(folder: Path) -> None:
    """Raises a ValueError unless the folder is a cache, or empty."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give that of --cache")
    if any(folder.iterdir()) and not (folder / "lock").is_file():
        raise ValueError(
            f"{folder} is no cache folder (it has no file `lock`): give that of --cache"
        )


def records(folder: Path) -> int:
    """The number of records in a folder."""
    return sum(1 for _ in folder.glob("*.record"))


def rows_of(store: Store, folder: Path) -> Iterator[EntryRow]:
    """The entries of a store as rows; `folder` is the store's.

    Other processes may remove records meanwhile, which are left out.
    """
    entry: Any
    for entry in store:
        try:
            size = (folder / f"{entry.id}.record").stat().st_size
        except FileNotFoundError:
            continue
        times = (entry.created, entry.last_used)
        yield EntryRow(entry.id, entry.recipe, entry.namespace, size, *times)


def wanted(row: EntryRow, options: argparse.Namespace) -> bool:
    """Whether an entry has the namespace and the age that the options ask for."""
    if options.namespace is not None and row.namespace != options.namespace:
        return False
    return options.older_than is None or row.created < time.time() - options.older_than


def table(rows: Sequence[EntryRow], folder: Path) -> Iterator[str]:
    """The lines of the listing: one per recipe and namespace, and the total."""
    groups: dict[tuple[str, str], list[EntryRow]] = {}
    for row in rows:
        groups.setdefault((row.recipe, row.namespace), []).append(row)
    lines = [HEAD] if groups else []
    for (recipe, namespace), group in groups.items():
        note = read_note(folder, recipe)
        ages = (max(row.created for row in group), min(row.created for row in group))
        made = " to ".join(dict.fromkeys(ago(when) for when in ages))
        used = ago(max(row.last_used for row in group))
        shown = namespace if namespace.isprintable() else repr(namespace)
        words = (note.model, note.size, note.sampling, shown)
        sums = str(len(group)), mib(group), f"{made} ago", f"{used} ago"
        lines.append((*words, *sums))
    lines[1:] = sorted(lines[1:])
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths))
        yield "  ".join(cells).rstrip()
    yield f"{entries(rows)}, {mib(rows)} MiB"


def entries(rows: Sequence[EntryRow]) -> str:
    """The number of entries in words."""
    return f"{len(rows)} entr{'y' if len(rows) == 1 else 'ies'}"


def mib(rows: Sequence[EntryRow]) -> str:
    """The total size of entries in MiB."""
    return f"{sum(row.nbytes for row in rows) / MIB:.1f}"


def ago(when: float) -> str:
    """The time since `when`, in its largest unit, such as "3 h"."""
    seconds = max(time.time() - when, 0.0)
    size, unit = next((unit for unit in UNITS if seconds >= unit[0]), UNITS[-1])
    return f"{seconds / size:.0f} {unit}"
