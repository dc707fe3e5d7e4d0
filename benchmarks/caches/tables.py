"""Tables that compare step caches of similar run time."""

import functools
from typing import Any

from benchmarks.caches.arms import QUALITY
from benchmarks.lib.judged import with_errors
from benchmarks.lib.rows import load, table
from benchmarks.lib.tables import PageTable, Row, Rows, check_one_model, columns

BASELINE = "fewer"
OURS = "planned"
KEY = ("row", "steps", "setting", "device")
MOST = 4  # the most methods in a table, not counting baselines
# The range of run times of each table, as shares of the full run's time.
BANDS = {"75": (0.62, 0.9), "50": (0.43, 0.62), "35": (0.3, 0.43), "25": (0.15, 0.3)}
HITS = ("speedup_denoise", "accuracy", "accuracy_changed", "detail")
ALWAYS = ("full", "chorus", "policy")
SHOWN = ("time", "psnr", "psnr_error", "ssim", "detail")


def band(share: str) -> PageTable:
    """A table of the best setting of each method at a similar run time.

    `share` is a key of BANDS; runs have 50 steps.
    """
    low, high = BANDS[share]

    def shows(row: Row) -> bool:
        if row["steps"] != 50 or row["row"].startswith(QUALITY):
            return False
        time = timed(row)
        return time is not None and low <= time < high

    return PageTable("benchmarks.caches", "caches", best, shows)


def of_qualities(rows: Rows) -> str:
    """Draws the rows of the named qualities."""
    check_one_model(rows)
    return table([named(row) for row in rows], ["row", *SHOWN])


def best(rows: Rows) -> str:
    """Draws the best setting of each method, by PSNR to the full run.

    All baseline methods are listed, and the `MOST` best other methods.
    """
    check_one_model(rows)
    return table([named(row) for row in chosen(rows)], ["row", *SHOWN])


def chosen(rows: Rows) -> list[Row]:
    """The best row of each baseline and of the `MOST` best other methods, by PSNR."""
    nearest: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["psnr"]):
        nearest[row["row"]] = row
    order = sorted(nearest.values(), key=lambda row: -row["psnr"])
    base = [row for row in order if row["row"].startswith(BASELINE)]
    methods = [row for row in order if row not in base][:MOST]
    return [row for row in order if row in base or row in methods]


def paired(rows: Rows) -> str:
    """Draws how much nearer planned steps are to the full run than other methods.

    `ahead` is the mean over the prompts of the PSNR with planned steps minus the PSNR
    with this method, `ahead_error` its standard error. The rows are those of `best`.
    """
    check_one_model(rows)
    [ours] = [row for row in rows if row["row"] == OURS]
    lines = []
    for row in chosen(rows):
        pairs = zip(ours["psnr_each"], row["psnr_each"], strict=True)
        ahead = [{"ahead": planned - other} for planned, other in pairs]
        figures = {} if row is ours else with_errors(ahead)
        lines.append({**named(row), "prompts": len(ahead), **figures})
    return table(lines, ["row", "prompts", "computed", "psnr", "ahead", "ahead_error"])


def in_pairs(row: Row) -> bool:
    """Whether a row of 50 steps at a quarter of the work lists every prompt's PSNR."""
    return row["steps"] == 50 and row["computed"] < 0.27 and "psnr_each" in row


def in_hits(rows: Rows) -> str:
    """Draws the step caches in hits that no other one beats in speed and in texture.

    Full runs, hits without a cache and those with the policy's own are always listed.
    """
    beaten = lambda row: any(
        other["speedup_denoise"] > row["speedup_denoise"]
        and other["detail"] >= row["detail"]
        for other in rows
    )
    shown = [row for row in rows if row["row"] in ALWAYS or not beaten(row)]
    return columns(*HITS)(shown)


def named(row: Row) -> Row:
    """The row with its setting added to its name, and with its time (see `timed`)."""
    name = f"{row['row']} {short(row['setting'])}".strip()
    return {**row, "row": name, "time": timed(row)}


def timed(row: Row) -> float | None:
    """A row's share of the full run's time; None if it was not measured.

    Settings fitted to other prompts may differ slightly from the timed ones. Then the
    time of a setting of the same method with the same work is used.
    """
    known, like = shares(), lambda x: (*x[:2], round(row["computed"], 2), x[3])
    key = tuple(row[name] for name in KEY)
    return known.get(key, known.get(like(key)))


@functools.cache
def shares() -> dict[tuple[Any, ...], float]:
    """Measured shares of the full run's time.

    The keys are method, steps, setting and device; each row is listed a second time
    with its share of computed steps in place of the setting.
    """
    known = {}
    for row in load("caches_time"):
        method, steps, setting, device = (row[name] for name in KEY)
        for what in (setting, round(row["computed"], 2)):
            known[method, steps, what, device] = row["share"]
    return known


def short(setting: str) -> str:
    """The fields of a setting that distinguish it from others of its method."""
    fields = [x for x in setting.split(", ") if not x.startswith("window=")]
    own = [x for x in fields[1:] if x[-1] != "e" and x.startswith("shift=")]
    return ", ".join([*fields[:1], *own])


TABLES = {
    **{f"caches_{share}": band(share) for share in BANDS},
    "caches_paired": PageTable("benchmarks.caches", "caches", paired, in_pairs),
    "qualities": PageTable(
        "benchmarks.caches",
        "caches",
        of_qualities,
        lambda row: row["row"].startswith(QUALITY),
    ),
    "caches_hits": PageTable(
        "benchmarks.caches.hits",
        "caches_hits",
        in_hits,
    ),
}
