"""Tables of the index benchmarks, and the index size above which ScaNN is faster."""

import math
from collections.abc import Sequence
from itertools import pairwise

from benchmarks.lib.rows import scaled, table
from benchmarks.lib.tables import Draw, PageTable, Row, Rows, columns

ORDER = ("exact", "scann", "scann_changed")
CHANGED = "scann_changed"  # the average state of an index in use


def indexes(rows: Rows) -> str:
    """Draws a table of all figures, and the sizes above which ScaNN is faster."""
    shown = [
        {
            "width": row["width"],
            "entries": row["entries"],
            "index": row["row"].replace("_", ", "),
            "search (ms)": row["seconds"] * 1e3,
            "over exact": row["ratio"],
            "recall@1": row["recall_1"],
            "recall@10": row["recall_10"],
            "of near ones": row.get("recall_near"),
            "hits kept": row.get("hits_kept"),
            "build (s)": row.get("build_seconds"),
            "memory (MB)": scaled(row, "memory_bytes", 1e-6),
            "add (µs)": scaled(row, "add_seconds", 1e6),
            "while building": scaled(row, "add_seconds_building", 1e6),
            "at worst": scaled(row, "add_seconds_worst", 1e6),
        }
        for row in in_order(rows)
    ]
    return f"{table(shown, list(shown[0]))}\n\n{switches(rows)}"


def in_order(rows: Rows) -> Rows:
    """Rows sorted by width, size and index."""
    return sorted(
        rows, key=lambda row: (row["width"], row["entries"], ORDER.index(row["row"]))
    )


def by_case(**shown: tuple[str, str]) -> Draw:
    """A function that draws a line per width and size.

    Args:
        shown: an index and a figure for each column, by the column's title.
    """

    def draw(rows: Rows) -> str:
        lines: dict[tuple[int, int], Row] = {}
        for row in in_order(rows):
            case = row["width"], row["entries"]
            what = f"width {row['width']}, {row['entries']} entries"
            line = lines.setdefault(case, {"row": what})
            for title, (index, figure) in shown.items():
                if row["row"] == index:
                    line[title] = row.get(figure)
        return table([*lines.values()], ["row", *shown])

    return draw


def searches(rows: Rows) -> str:
    """Draws search times and recall, and the sizes above which ScaNN is faster."""
    draw = by_case(
        seconds_exact=("exact", "seconds"),
        ratio_scann=("scann", "ratio"),
        ratio_scann_changed=(CHANGED, "ratio"),
        recall_near=("scann", "recall_near"),
    )
    return f"{draw(rows)}\n\n{switches(rows)}"


def switch(ratios: Sequence[tuple[int, float]]) -> float | None:
    """The number of entries above which ScaNN's search is faster than exact search.

    Between two measured sizes the ratio is interpolated as a power of the size.

    Args:
        ratios: pairs of a number of entries and the ratio of ScaNN's time to the time
            of exact search.

    Returns:
        The number of entries; None if ScaNN is not faster at the largest size. If it is
        faster at all sizes, the smallest size, though the true number may be lower.
    """
    points = sorted(ratios)
    if not points or points[-1][1] >= 1:
        return None
    for (low, before), (high, after) in reversed(list(pairwise(points))):
        if before >= 1 > after:
            share = math.log(before) / (math.log(before) - math.log(after))
            return math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return float(points[0][0])


def switches(rows: Rows) -> str:
    """Sentences about the sizes above which ScaNN is faster, one per width."""
    return " ".join(
        sentence(rows, width) for width in sorted({x["width"] for x in rows})
    )


def sentence(rows: Rows, width: int) -> str:
    """A sentence about the size above which ScaNN is faster at one width."""
    points = {
        row["entries"]: row["ratio"]
        for row in rows
        if (row["row"], row["width"]) == (CHANGED, width)
    }
    sizes, at = list(points), switch([*points.items()])
    if at is None:
        return f"Width {width}: exact search is as fast at all sizes measured."
    if at == min(sizes):
        return (
            f"Width {width}: in use (`{CHANGED}`), ScaNN is faster at all sizes, from "
            f"{min(sizes)} entries on."
        )
    return (
        f"Width {width}: in use (`{CHANGED}`), ScaNN is faster than exact search from "
        f"about {float(f'{at:.2g}'):.0f} entries on."
    )


INDEX = "benchmarks.index"
TABLES = {
    "index_search": PageTable(INDEX, "index", searches),
    "index_build": PageTable(
        INDEX,
        "index",
        by_case(
            build_seconds_exact=("exact", "build_seconds"),
            build_seconds_scann=("scann", "build_seconds"),
            memory_bytes_exact=("exact", "memory_bytes"),
            memory_bytes_scann=("scann", "memory_bytes"),
        ),
    ),
    "index_add": PageTable(
        INDEX,
        "index",
        by_case(
            add_seconds_exact=("exact", "add_seconds"),
            add_seconds_scann=("scann", "add_seconds"),
            add_seconds_building=("scann", "add_seconds_building"),
            add_seconds_worst=("scann", "add_seconds_worst"),
        ),
    ),
    "look_up": PageTable(
        "benchmarks.index.look_up",
        "look_up",
        columns("entries", "look_up_seconds", "load_seconds", "share"),
    ),
    "opening": PageTable(
        "benchmarks.index.opening",
        "opening",
        columns("seconds", "spread", "thread_seconds"),
    ),
}
