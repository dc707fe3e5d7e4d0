"""Times opening a cache folder.

    python -m benchmarks.index.opening

The folder has 10 000 records with heads like Wan 1.3B's (embeddings of width 1536,
prompts of 12 words) and small latents, since latents are not read. `Cache.in_folder` is
timed, after which all entries can be found: every head is read, checked, and given to
the index and to the prediction of sources. Goal: 2 s. `thread_seconds` is the CPU time
of the thread; the rest is waiting for the disk and for other processes.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.index.records import fill
from benchmarks.lib import rows
from benchmarks.lib.timing import Timing
from chorus_jax.engine import Cache


def opened(folder: Path, entries: int) -> tuple[float, float]:
    """Opens the folder once; returns wall-clock seconds and the thread's CPU seconds.

    Raises:
        SystemExit: if an entry is missing.
    """
    began, computing = time.perf_counter(), time.thread_time()
    cache = Cache.in_folder(folder, disk_bytes=2**40)
    seconds = time.perf_counter() - began, time.thread_time() - computing
    sizes = len(cache.store), len(cache.matcher.shelves.places)
    cache.close()
    if sizes != (entries, entries):
        raise SystemExit(f"{sizes} of {entries} entries were found")
    return seconds


def main() -> None:
    """Fills a folder, measures, prints the table, writes the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder), options.entries, np.random.default_rng(0))
        times = [opened(Path(folder), options.entries) for _ in range(options.rounds)]
    timing, core = (Timing(taken) for taken in zip(*times))
    measured = {
        "row": f"{options.entries} entries",
        "entries": options.entries,
        "seconds": timing.median,
        "spread": timing.spread,
        "thread_seconds": core.median,
    }
    rows.update("opening", [measured])
    print(rows.table([measured], ["row", "seconds", "spread", "thread_seconds"]))


if __name__ == "__main__":
    main()
