"""Kills processes while they admit entries."""

import random
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

from tqdm import tqdm

from benchmarks.reliability.entries import NAMESPACE, made, right
from benchmarks.reliability.outcome import AttackOutcome
from chorus_jax.inter_request.store import Store

ROOM = 2**30
SIDE = 24
ALONE = "benchmarks.reliability.kills"


def admit_for_ever(folder: str, first: int) -> None:
    """Admits entries numbered from `first` on; prints each number once it is stored."""
    with Store(0, folder=folder, disk_bytes=ROOM) as store:
        print("open", flush=True)
        for number in count(first):
            store.admit(made(number, SIDE))
            store.hit(made(number, SIDE).id)
            print(number, flush=True)


def killed(folder: Path, first: int, admissions: int, delay: float) -> set[int]:
    """Kills a process that admits entries; returns the numbers it had stored.

    Args:
        folder: the store's folder.
        first: the number of the first entry.
        admissions: the number of admissions to wait for before the kill.
        delay: further seconds to wait.
    """
    command = [sys.executable, "-m", ALONE, str(folder), str(first)]
    safe = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        for _ in range(admissions):
            safe.add(int(process.stdout.readline()))
        time.sleep(delay)
        process.kill()
        safe |= {int(line) for line in process.stdout if line.endswith("\n")}
    return safe


def kills(folder: Path, times: int) -> AttackOutcome:
    """Kills processes `times` times, at random moments of an admission."""
    outcome, chance = AttackOutcome(times), random.Random(0)
    safe: set[int] = set()
    first = halves = 0
    for _ in tqdm(range(times), desc="kills"):
        safe |= killed(folder, first, chance.randrange(4), chance.uniform(0, 0.03))
        halves += len(list(folder.glob(".*.partial")))
        with Store(0, folder=folder, disk_bytes=ROOM) as store:
            present = {int(head.id, 16) for head in store}
            entries = [store.get(f"{number:032x}", NAMESPACE) for number in present]
        outcome.lost += len(safe - present)
        outcome.wrong += sum(x is None or not right(x, SIDE) for x in entries)
        safe &= present
        first = max(present, default=first) + 1
    outcome.figures["half_written"] = halves
    return outcome


if __name__ == "__main__":
    admit_for_ever(sys.argv[1], int(sys.argv[2]))
