"""Tables and lines of step caches side by side, by their share of the full time."""

import functools
from typing import Any

from benchmarks.lib.rows import load, table
from benchmarks.lib.tables import PageTable, Row, Rows, check_one_model, columns

BASELINE = "fewer"
KEY = ("row", "steps", "setting", "device")
MOST = 8  # methods that are shown beside the baselines
# From which share of the full run's time to which a setting is under a heading.
BANDS = {"75": (0.62, 0.9), "50": (0.43, 0.62), "35": (0.3, 0.43), "25": (0.15, 0.3)}
SHOWN = ("time", "psnr", "ssim", "detail")


def band(share: str) -> PageTable:
    """The best setting of each method that takes about this share of the time of 50
    steps."""
    low, high = BANDS[share]

    def shows(row: Row) -> bool:
        time = timed(row) if row["steps"] == 50 else None
        return time is not None and low <= time < high

    return PageTable("benchmarks.caches", "caches", best, shows)


def best(rows: Rows) -> str:
    """The nearest to the full run, and all baselines; a setting a method."""
    check_one_model(rows)
    nearest: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["psnr"]):
        nearest[row["row"]] = row
    order = sorted(nearest.values(), key=lambda row: -row["psnr"])
    base = [row for row in order if row["row"].startswith(BASELINE)]
    methods = [row for row in order if row not in base][:MOST]
    shown = [row for row in order if row in base or row in methods]
    return table([named(row) for row in shown], ["row", *SHOWN])


def named(row: Row) -> Row:
    """A row with its setting in its name, and its share of the full run's time."""
    name = f"{row['row']} {short(row['setting'])}".strip()
    return {**row, "row": name, "time": timed(row)}


def timed(row: Row) -> float | None:
    """A row's share of the full run's time; None if that was not measured.

    Thresholds that are fitted to other prompts differ: a row of the same method and
    work takes as long.
    """
    known, like = shares(), lambda x: (*x[:2], round(row["computed"], 2), x[3])
    key = tuple(row[name] for name in KEY)
    return known.get(key, known.get(like(key)))


@functools.cache
def shares() -> dict[tuple[Any, ...], float]:
    """The shares of time by method, steps, setting or share that is computed, and
    device."""
    known = {}
    for row in load("caches_time"):
        method, steps, setting, device = (row[name] for name in KEY)
        for what in (setting, round(row["computed"], 2)):
            known[method, steps, what, device] = row["share"]
    return known


def short(setting: str) -> str:
    """The fields of a setting that tell it from its method's others."""
    fields = [x for x in setting.split(", ") if not x.startswith("window=")]
    own = [x for x in fields[1:] if x[-1] != "e" and x.startswith("shift=")]
    return ", ".join([*fields[:1], *own])


TABLES = {
    **{f"caches_{share}": band(share) for share in BANDS},
    "caches_hits": PageTable(
        "benchmarks.caches.hits",
        "caches_hits",
        columns("speedup_denoise", "accuracy", "accuracy_changed", "detail"),
    ),
}
