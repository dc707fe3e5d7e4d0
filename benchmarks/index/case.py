"""One case of `benchmarks.index.comparison`: both indexes with the same entries."""

import ctypes
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.index.adds import NEVER, adds, adds_while_building
from benchmarks.index.search import recall, search_times
from benchmarks.index.vectors import Vectors, followers, vectors
from chorus_jax.inter_request.index import ExactIndex, Index, Rebuilds, ScannIndex

QUERIES = 400
LEAST_ADDS = 50
COPIES = 8  # copies of all vectors in memory at the peak of a case
PERFECT = {"recall_1": 1.0, "recall_10": 1.0, "recall_near": 1.0, "hits_kept": 1.0}

Row = dict[str, Any]


@dataclass(frozen=True)
class IndexCase:
    """The size of the indexes that are measured.

    Attributes:
        width: numbers per vector.
        entries: vectors in an index.
        rounds: number of timed rounds of searches.
    """

    width: int
    entries: int
    rounds: int

    @property
    def peak_bytes(self) -> int:
        """The approximate peak memory of the case, in bytes."""
        return COPIES * self.entries * self.width * 4


class IndexPair:
    """An exact index and a ScaNN index with the same entries.

    ScaNN's searcher is built once all entries are added, and rebuilt only by
    `adds_while_building`.
    """

    def __init__(self, case: IndexCase):
        self.case, self.exact = case, ExactIndex(case.width)
        self.scann = ScannIndex(case.width, Rebuilds(case.entries, NEVER))

    def built(self, drawn: Vectors) -> tuple[Row, Row]:
        """Fills both indexes; returns a row of build times and memory for each."""
        return _built(self.exact, drawn), _built(self.scann, drawn)

    def searched(self, queries: Vectors) -> tuple[Row, Row]:
        """Searches both indexes; returns a row of search times and recall for each."""
        indexes: dict[str, Index] = {"exact": self.exact, "scann": self.scann}
        label = f"{self.case.entries} of width {self.case.width}"
        times = search_times(indexes, queries, self.case.rounds, label)
        base = times["exact"].median
        exact, scann = (
            {"seconds": x.median, "spread": x.spread, "ratio": x.median / base}
            for x in times.values()
        )
        return exact | PERFECT, scann | recall(self.exact, self.scann, queries)

    def added(self, extra: Vectors) -> tuple[Row, Row]:
        """Adds vectors to both indexes; returns a row of the median time for each."""
        exact, scann = (
            {"add_seconds": statistics.median(adds(index, extra))}
            for index in (self.exact, self.scann)
        )
        return exact, scann


def measured(case: IndexCase) -> list[Row]:
    """Measures a case; returns the rows `exact`, `scann` and `scann_changed`.

    For `scann_changed`, vectors were added after the build: half as many as trigger a
    rebuild with the default `Rebuilds`. Ratios are relative to exact search of the same
    entries, timed in turns. Run this in a separate process, because memory is measured
    as the growth of the process.
    """
    rng = np.random.default_rng(0)
    drawn = vectors(case.entries, case.width, rng)
    queries = followers(drawn, QUERIES, rng)
    fresh = max(LEAST_ADDS, round(Rebuilds().growth / 2 * case.entries))
    extra = followers(drawn, fresh, rng)
    pair = IndexPair(case)
    built, searched, added = (
        pair.built(drawn),
        pair.searched(queries),
        pair.added(extra),
    )
    _, changed = pair.searched(queries)
    beside = adds_while_building(pair.scann, extra)
    what = {"width": case.width, "entries": case.entries}
    return [
        {"row": "exact", **what, **searched[0], **built[0], **added[0]},
        {"row": "scann", **what, **searched[1], **built[1], **added[1], **beside},
        {"row": "scann_changed", **what, **changed, "fresh": fresh},
    ]


def _built(index: ExactIndex | ScannIndex, drawn: Vectors) -> Row:
    before, began = resident_bytes(), time.perf_counter()
    for number, vector in enumerate(drawn):
        index.add(f"{number}", vector)
    added = time.perf_counter()
    if isinstance(index, ScannIndex):
        index.wait()
    ended = time.perf_counter()
    return {
        "build_seconds": ended - began,
        "searcher_seconds": ended - added,
        "memory_bytes": resident_bytes() - before,
    }


def resident_bytes() -> int:
    """The memory that this process holds and has not freed. Linux only, like ScaNN."""
    # Freed memory is returned first, since reusing it would not count as growth.
    ctypes.CDLL(None).malloc_trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    [resident] = [line for line in lines if line.startswith("VmRSS")]
    return int(resident.split()[1]) * 1024
