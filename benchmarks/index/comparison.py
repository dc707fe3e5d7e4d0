"""Exact search beside ScaNN: from how many entries on is ScaNN worth its build?

    python -m benchmarks.index
    python -m benchmarks.index --widths 96 --sizes 1000000

The distances between vectors are like those of prompts' embeddings (see `vectors`);
queries are further vectors of the same kind. The indexes search in turns, 20 queries at
a time, for the ten nearest each. The widths are those of a small model (96) and of what
Wan 1.3B's cross-attention reads (1536).

`exact` compares with every entry. `scann` has a searcher over all entries,
`scann_changed` the same one after 5% more were added: halfway to its next rebuild, as
an index in use is on average. `build_seconds` are from an empty index to one that
searches so, `searcher_seconds` ScaNN's share, `memory_bytes` what the process holds
more then. `recall_1` and `recall_10` are shares of the exact answers, `recall_near` of
those of the ten from cosine 0.5 on (others are no sources), `hits_kept` is the share of
answers from cosine 0.8 on for queries that have one. `add_seconds` is the
median of an add, `add_seconds_building` and `add_seconds_worst` those while a searcher
is built, an add every millisecond or less often.

`Rebuilds.least` should be the number of entries at which `scann_changed` begins to be
faster. Each case runs in a process of its own and takes about 32 bytes for each number
of its vectors; if one does not fit, an error is raised before the first one begins.
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
    """Measures, writes the rows, prints the table and the present `Rebuilds.least`."""
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
