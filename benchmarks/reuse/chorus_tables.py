"""The tables that are drawn from the rows of `benchmarks.reuse.chorus`."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.model.quality_tables import ATTRIBUTES, of_one_model
from benchmarks.reuse.arms import ARMS, EQUAL, FEWER, FULL, SKIPPING, WHOLE

Rows = list[dict[str, Any]]

CURVE = "curve_"
SHOWN = {
    "equivalents": "equivalents",
    "speedup_denoise": "denoising",
    "speedup_denoise_best": "denoising at best",
    "speedup_total": "request",
    "speedup_best": "request at best",
    "accuracy": "accuracy",
    "accuracy_changed": "changed",
    "detail": "detail",
    "render_db": "render (dB)",
    "seam": "seam",
}
QUALITY = {
    **{f"accuracy_{name}": name for name in ATTRIBUTES},
    **{f"changed_{name}": f"changed {name}" for name in ATTRIBUTES},
    "psnr": "PSNR (dB)",
    "ssim": "SSIM",
    "smoothness": "smoothness",
    "seam": "seam",
}
IDLE = {  # why an arm of the ladder does nothing else than the one before it
    "output_gain": "output gain 1",
    "key_gain": "key gain 1",
    WHOLE: "no region step",
    SKIPPING: "no skipped step",
}


def in_arms(name: str) -> bool:
    """Whether a row is that of an arm, and not a point of the curve."""
    return name in ARMS


def in_main(name: str) -> bool:
    """Whether a row is that of an arm that one would serve, not of a part of it."""
    return name in (FULL, FEWER, "nirvana", EQUAL, WHOLE, SKIPPING)


def hits(rows: Rows) -> str:
    """Arms where there was a source: what they save and what it costs."""
    return _table(rows, SHOWN, "hits")


def quality(rows: Rows) -> str:
    """What hits show: each attribute, alone and where the source differs in it, and how
    near they are to the full runs."""
    return _table(rows, QUALITY, "hits")


def kinds(rows: Rows) -> str:
    """The same, apart: of sources that show something else, and of those that say the
    same in other words."""
    return _table(rows, SHOWN, "changed", "reworded")


def requests(rows: Rows) -> str:
    """The arms over all requests, hits and misses together."""
    return _table(rows, SHOWN, "all")


def in_gains(name: str) -> bool:
    """Whether a row may be of the table of gains: their points, stage 1 alone, full."""
    return name.startswith(tuple(f"{CURVE}{way}" for way in ("gains", "stage1", FULL)))


def gains(rows: Rows) -> str:
    """What gains do, beside none from the same step on and full runs."""
    place = lambda row: (row["steps"], row.get("reuse_until"))
    gained = [row for row in rows if row["row"].startswith(f"{CURVE}gains")]
    begun, steps = {place(row) for row in gained}, {row["steps"] for row in gained}
    full = lambda row: row["row"] == f"{CURVE}{FULL}" and row["steps"] in steps
    found = [row for row in rows if place(row) in begun or full(row)]
    found.sort(key=lambda row: (-row["steps"], row.get("reuse_until", 0)))
    shown = [
        {
            "steps": row["steps"],
            "reused to": row.get("reuse_until"),
            "gains to": row["region_until"] if row in gained else None,
            "of keys": row.get("key_gain"),
            "of the output": row.get("output_gain"),
            "targets": row["targets"],
            "accuracy": row["accuracy"],
            "changed": row["accuracy_changed"],
            "detail": row["detail"],
            "render (dB)": row["render_db"],
        }
        for row in found
    ]
    return of_one_model(found, shown)


def _table(rows: Rows, columns: Mapping[str, str], *over: str) -> str:
    found = [row for row in rows if row["over"] in over]
    order = lambda row: (-row["steps"], row["over"], ARMS.index(row["row"]))
    found.sort(key=order)
    shown = [
        {
            "steps": row["steps"],
            **({"hits": row["over"]} if len(over) > 1 else {}),
            "arm": arm,
            "targets": figures.get("targets"),
            "hit rate": figures.get("hit_rate"),
            **{label: figures.get(name) for name, label in columns.items()},
        }
        for row, arm, figures in _once(found)
    ]
    if not shown:
        return f"No row over {' or '.join(over)} was measured."
    return of_one_model(found, shown)


def _once(rows: Rows) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Each row with its arm's name and its figures: none if the arm was not run and
    those of the arm that was are drawn already; the name says so."""
    drawn: dict[tuple[Any, ...], str] = {}
    for row in rows:
        name = str(row["row"])
        run = str(row.get("same_as", name))
        first = drawn.setdefault((row["steps"], row["over"], run), name)
        same = run if first == name else first
        yield row, _told(name, same), row if first == name else {}


def _told(name: str, same: str) -> str:
    """An arm's name; if it is the same as another, which one and why."""
    if name == same:
        return name
    between = ARMS[ARMS.index(same) + 1 : ARMS.index(name) + 1]
    why = ", ".join(IDLE[each] for each in between if each in IDLE)
    return f"{name} (= {same}{why and f': {why}'})"
