"""The tables that are drawn from the rows of `benchmarks.chorus`."""

from typing import Any

from benchmarks.chorus_arms import ARMS
from benchmarks.quality_tables import of_one_model

Rows = list[dict[str, Any]]

CURVE = "curve_"
SHOWN = {
    "equivalents": "equivalents",
    "speedup_denoise": "denoising",
    "speedup_total": "request",
    "speedup_best": "at best",
    "accuracy": "accuracy",
    "accuracy_changed": "changed",
    "detail": "detail",
    "render_db": "render (dB)",
    "seam": "seam",
}


def in_arms(name: str) -> bool:
    """Whether a row is that of an arm, and not a point of the curve."""
    return name in ARMS


def hits(rows: Rows) -> str:
    """The arms where there was a source: what they save and what it costs."""
    return _table(rows, "hits")


def kinds(rows: Rows) -> str:
    """The same, apart: of sources that show something else, and of those that say the
    same in other words."""
    return _table(rows, "changed", "reworded")


def requests(rows: Rows) -> str:
    """The arms over all requests, hits and misses together."""
    return _table(rows, "all")


def _table(rows: Rows, *over: str) -> str:
    found = [row for row in rows if row["over"] in over]
    order = lambda row: (-row["steps"], row["over"], ARMS.index(row["row"]))
    found.sort(key=order)
    shown = [
        {
            "steps": row["steps"],
            **({"hits": row["over"]} if len(over) > 1 else {}),
            "arm": row["row"],
            "targets": row["targets"],
            "hit rate": row["hit_rate"],
            **{label: row.get(name) for name, label in SHOWN.items()},
        }
        for row in found
    ]
    if not shown:
        return f"No row over {' or '.join(over)} was measured."
    return of_one_model(found, shown)
