"""Attacks on the store: is anything lost, wrong or stuck?

    python -m benchmarks.reliability

Each row is an attack; `--rows` chooses some, `--scale .1` makes each smaller. All
attacks together take about ten minutes.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.lib import rows
from benchmarks.reliability.churn import admissions
from benchmarks.reliability.contention import processes, threads
from benchmarks.reliability.damage import cuts, flips
from benchmarks.reliability.kills import kills
from benchmarks.reliability.outcome import AttackOutcome
from benchmarks.reliability.serving import requests

Attack = Callable[[Path, float], AttackOutcome]


def scaled(number: int, scale: float) -> int:
    """A number times a scale, rounded, at least 1."""
    return max(1, round(number * scale))


ATTACKS: dict[str, Attack] = {
    "kills": lambda folder, scale: kills(folder, scaled(60, scale)),
    "flips": lambda folder, scale: flips(folder, scaled(1, 1 / scale)),
    "cuts": lambda folder, scale: cuts(folder, scaled(16, 1 / scale)),
    "threads": lambda folder, scale: threads(folder, 8, scaled(50, scale)),
    "processes": lambda folder, scale: processes(folder, 4, scaled(50, scale)),
    "admissions": lambda folder, scale: admissions(folder, scaled(10_000, scale)),
    "requests": lambda folder, scale: requests(folder, scaled(200, scale)),
}


def main() -> None:
    """Runs the attacks, prints the table, writes a row for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ATTACKS, default=[*ATTACKS])
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args()
    measured = []
    for name in options.rows:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            outcome = ATTACKS[name](Path(folder) / "store", options.scale)
        measured.append(outcome.row(name, time.perf_counter() - began))
        rows.update("reliability", measured[-1:])
    print(rows.table(measured, ["row", "tries", "lost", "wrong", "stuck", "seconds"]))


if __name__ == "__main__":
    main()
