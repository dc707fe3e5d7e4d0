"""Threads and processes that use one folder at the same time."""

import random
import subprocess
import sys
import threading
from pathlib import Path

from benchmarks.reliability.entries import NAMESPACE, made, right
from benchmarks.reliability.outcome import AttackOutcome
from chorus_jax.inter_request.store import Store

ALONE = "benchmarks.reliability.contention"
PATIENCE = 300  # seconds
BUDGET = 60_000  # bytes: about ten records


def busy(store: Store, first: int, rounds: int, chance: random.Random) -> int:
    """Admits, reads, uses and deletes entries; returns the number of errors."""
    wrong = 0
    for number in range(first, first + rounds):
        store.admit(made(number))
        wrong += store.disk_used > BUDGET
        for head in list(store):
            entry = store.get(head.id, NAMESPACE)
            if entry is not None:
                wrong += not right(entry)
                store.hit(head.id)
            if chance.random() < 0.05:
                store.delete(head.id)
    return wrong


def threads(folder: Path, count: int, rounds: int) -> AttackOutcome:
    """Runs threads on one store; after some turns, the caller raises an error."""
    outcome, wrong = AttackOutcome(count * rounds), [0] * count

    def work(number: int, store: Store) -> None:
        chance = random.Random(number)
        for turn in range(0, rounds, 5):
            try:
                first = 10_000 * number + turn
                wrong[number] += busy(store, first, 5, chance)
                if chance.random() < 0.3:
                    raise KeyError("an error of the caller")
            except KeyError:
                continue

    with Store(20_000, folder=folder, disk_bytes=BUDGET) as store:
        working = [
            threading.Thread(target=work, args=(number, store), daemon=True)
            for number in range(count)
        ]
        for thread in working:
            thread.start()
        for thread in working:
            thread.join(PATIENCE)
        outcome.stuck = sum(thread.is_alive() for thread in working)
    outcome.wrong = sum(wrong)
    return outcome


def processes(folder: Path, count: int, rounds: int) -> AttackOutcome:
    """Runs processes that use one folder at the same time."""
    outcome = AttackOutcome(count * rounds)
    running = [
        subprocess.Popen(
            [sys.executable, "-m", ALONE, str(folder), str(number), str(rounds)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    for process in running:
        try:
            output, _ = process.communicate(timeout=PATIENCE)
            outcome.wrong += int(output) if process.returncode == 0 else 1
        except subprocess.TimeoutExpired:
            process.kill()
            outcome.stuck += 1
    return outcome


def alone(folder: str, number: str, rounds: str) -> None:
    """Runs the work of one process of `processes`, and prints its number of errors."""
    with Store(20_000, folder=folder, disk_bytes=BUDGET) as store:
        chance = random.Random(int(number))
        print(busy(store, 10_000 * int(number), int(rounds), chance))


if __name__ == "__main__":
    alone(*sys.argv[1:])
