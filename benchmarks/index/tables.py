"""The table of `benchmarks.index`, and the size from which on ScaNN is faster."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from benchmarks.lib.rows import scaled, table

Rows = list[dict[str, Any]]

ORDER = ("exact", "scann", "scann_changed")
CHANGED = "scann_changed"  # as an index in use is on average


def indexes(rows: Rows) -> str:
    """All cases by width and size; times of a search in milliseconds, of an add in
    microseconds."""
    found = sorted(
        rows, key=lambda row: (row["width"], row["entries"], ORDER.index(row["row"]))
    )
    shown = [
        {
            "width": row["width"],
            "entries": row["entries"],
            "index": row["row"].replace("_", ", "),
            "search (ms)": row["seconds"] * 1e3,
            "over exact": row["ratio"],
            "recall@1": row["recall_1"],
            "recall@10": row["recall_10"],
            "hits kept": row.get("hits_kept"),
            "build (s)": row.get("build_seconds"),
            "memory (MB)": scaled(row, "memory_bytes", 1e-6),
            "add (µs)": scaled(row, "add_seconds", 1e6),
            "while building": scaled(row, "add_seconds_building", 1e6),
            "at worst": scaled(row, "add_seconds_worst", 1e6),
        }
        for row in found
    ]
    return f"{table(shown, list(shown[0]))}\n\n{' '.join(_sentences(found))}"


def switch(ratios: Sequence[tuple[int, float]]) -> float | None:
    """The number of entries from which on ScaNN's search takes less than the exact one.

    `ratios` are its times over the exact ones by number of entries. Between two sizes
    the ratio is taken for a power of the size. None if it is not less at the largest
    size; the smallest size if it is less at all of them: the switch may be below.
    """
    points = sorted(ratios)
    if not points or points[-1][1] >= 1:
        return None
    for (low, before), (high, after) in reversed(list(pairwise(points))):
        if before >= 1 > after:
            share = math.log(before) / (math.log(before) - math.log(after))
            return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return float(points[0][0])


def _sentences(rows: Rows) -> list[str]:
    return [told(rows, width) for width in sorted({row["width"] for row in rows})]


def told(rows: Rows, width: int) -> str:
    """From which size on ScaNN is faster at a width, in words."""
    found = [row for row in rows if (row["row"], row["width"]) == (CHANGED, width)]
    sizes = [row["entries"] for row in found]
    at = switch([(row["entries"], row["ratio"]) for row in found])
    if at is None:
        return f"Width {width}: exact search is as fast at all sizes measured."
    if at == min(sizes):
        return f"Width {width}: ScaNN is faster at all sizes, from {min(sizes)} on."
    return f"Width {width}: ScaNN is faster from about {at:.2g} entries on."
