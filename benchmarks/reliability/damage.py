"""Damages files of a store: flips a bit of every byte, cuts files at every length."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm

from benchmarks.reliability.entries import NAMESPACE, made, right
from benchmarks.reliability.outcome import AttackOutcome
from chorus_jax.inter_request.store import Store

COUNT = 3
ROOM = 2**24


def small_store(folder: Path) -> Path:
    """Makes a small store in a folder, and uses each of its entries once."""
    with Store(0, folder=folder, disk_bytes=ROOM) as store:
        for number in range(COUNT):
            store.admit(made(number))
            store.hit(made(number).id)
    return folder


def looked_at(folder: Path, changed: str, outcome: AttackOutcome) -> None:
    """Opens a store after the file `changed` was damaged, and counts errors."""
    outcome.tries += 1
    try:
        with Store(0, folder=folder, disk_bytes=ROOM) as store:
            for number in range(COUNT):
                entry = store.get(f"{number:032x}", NAMESPACE)
                if entry is None:
                    outcome.lost += f"{number:032x}.record" != changed
                elif not right(entry):
                    outcome.wrong += 1
    except ValueError:
        outcome.lost += COUNT


def flips(folder: Path, stride: int) -> AttackOutcome:
    """Flips a bit of every `stride`-th byte of every file, one at a time."""

    def change(data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), stride):
            yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]

    return attacked(folder, change, "flips")


def cuts(folder: Path, stride: int) -> AttackOutcome:
    """Cuts every file at every `stride`-th length, one at a time."""

    def change(data: bytes) -> Iterator[bytes]:
        yield from (data[:length] for length in range(0, len(data), stride))

    return attacked(folder, change, "cuts")


def attacked(
    folder: Path, change: Callable[[bytes], Iterator[bytes]], name: str
) -> AttackOutcome:
    """The outcome of applying all changes to every file of a small store."""
    outcome, good, place = (
        AttackOutcome(),
        small_store(folder / "whole"),
        folder / "place",
    )
    for path in sorted(good.iterdir()):
        data = path.read_bytes()
        for changed in tqdm([*change(data)], desc=f"{name} of {path.name[-12:]}"):
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(good, place)
            (place / path.name).write_bytes(changed)
            looked_at(place, path.name, outcome)
    return outcome
