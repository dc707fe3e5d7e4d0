"""Compares exact search with ScaNN: from how many entries on is ScaNN faster?

    python -m benchmarks.index
    python -m benchmarks.index --widths 96 --sizes 1000000

Vectors are distributed like the embeddings of prompts (see `vectors`), and so are the
queries. The indexes search in turns, 20 queries at a time, for the ten nearest entries
of each. The widths are those of the text features that cross-attention reads in a small
model (96) and in Wan 1.3B (1536).

The row `exact` compares a query with every entry. `scann` has a searcher over all
entries; `scann_changed` is the same index after 5% more were added, halfway to its next
rebuild, as an index in use is on average. The figures:

    build_seconds         time to add all entries and build the searcher
    searcher_seconds      the part of it after the last add, for building the searcher
    memory_bytes          growth of the process's memory during the build
    recall_1, recall_10   the share of the nearest, or ten nearest, entries that is
                          found
    recall_near           the found share of those among the ten nearest entries whose
                          cosine is 0.5 or more (only these can be sources)
    hits_kept             of the queries whose nearest entry has a cosine of 0.8 or
                          more, the share whose first result has such a cosine too
    add_seconds           the median time of an add
    add_seconds_building  the median while a searcher is built, at one add per
                          millisecond or less often; `add_seconds_worst` is the longest

`Rebuilds.least` should be the number of entries at which `scann_changed` begins to be
faster. Each case runs in a separate process and takes about 32 bytes of memory for each
number of its vectors; if one does not fit, an error is raised before the first begins.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tqdm import tqdm

from benchmarks.index import tables as index_tables
from benchmarks.index.case import IndexCase, measured
from benchmarks.lib import rows
from chorus_jax.inter_request.index import Rebuilds

KEY = ("row", "width", "entries")


def memory() -> int:
    """The memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check(cases: list[IndexCase], available: int) -> None:
    """Raises SystemExit if a case takes more memory than there is."""
    large = [case for case in cases if case.peak_bytes > available]
    if large:
        needed = max(case.peak_bytes for case in large)
        raise SystemExit(
            f"{large[-1]} takes about {needed / 2**30:.0f} GiB, but this machine has "
            f"{available / 2**30:.0f}: ask for fewer --sizes or smaller --widths"
        )


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--widths", type=int, nargs="+", default=[96, 1536])
    top.add_argument(
        "--sizes", type=int, nargs="+", default=[1000, 3000, 10_000, 30_000, 100_000]
    )
    top.add_argument("--rounds", type=int, default=30)
    return top


def main() -> None:
    """Measures, writes the rows, prints the table and the default `Rebuilds.least`."""
    options = parser().parse_args()
    cases = [
        IndexCase(width, entries, options.rounds)
        for width in options.widths
        for entries in options.sizes
    ]
    check(cases, memory())
    rows.commit()  # rows need it: better to fail here than after minutes
    context = get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for measurements in tqdm(
            pool.map(measured, cases), total=len(cases), unit="case"
        ):
            rows.update("index", measurements, KEY)
    here = rows.device()
    print(index_tables.indexes([x for x in rows.load("index") if x["device"] == here]))
    print(f"Rebuilds.least is {Rebuilds().least}. {here}")
