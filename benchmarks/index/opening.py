"""The time of opening a cache folder.

    python -m benchmarks.index.opening

A folder of 10 000 records whose heads are as Wan 1.3B leaves them (embeddings of width
1536, prompts of 12 words) and whose latents are small, since those are not read. Timed:
`Cache.in_folder`, after which all entries can be found: every head is read, checked,
and given to the index and to what foresees sources. Goal: 2 s. `thread_seconds` are
those of a core: what is over is the disk's, and that of others on the machine.
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
    """The seconds of opening once, and of them a core's. SystemExit if an entry is
    missing."""
    began, computing = time.perf_counter(), time.thread_time()
    cache = Cache.in_folder(folder, disk_bytes=2**40)
    seconds = time.perf_counter() - began, time.thread_time() - computing
    found = len(cache.store), len(cache.matcher.shelves.places)
    cache.close()
    if found != (entries, entries):
        raise SystemExit(f"{found} of {entries} entries were found")
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
