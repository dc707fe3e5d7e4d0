"""Tables of step caches side by side, by the share of the steps that they compute."""

from benchmarks.lib.rows import load, table
from benchmarks.lib.tables import PageTable, Row, Rows, check_one_model, columns

BASELINE = "fewer"
MOST = 8  # methods that are shown beside the baselines
# From which computed share to which a setting is shown under a heading.
BANDS = {"75": (0.58, 0.92), "50": (0.42, 0.58), "35": (0.3, 0.42), "25": (0.2, 0.3)}
SHOWN = ("computed", "time", "psnr", "detail")


def band(share: str) -> PageTable:
    """The best setting of each method that computes about this share of 50 steps."""
    low, high = BANDS[share]
    return PageTable(
        "benchmarks.caches",
        "caches",
        best,
        lambda row: row["steps"] == 50 and low <= row["computed"] < high,
    )


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
    key = (row["row"], row["steps"], row["setting"], row["device"])
    timed = {
        (x["row"], x["steps"], x["setting"], x["device"]): x["share"]
        for x in load("caches_time")
    }
    name = f"{row['row']} {short(row['setting'])}".strip()
    return {**row, "row": name, "time": timed.get(key)}


def short(setting: str) -> str:
    """The fields of a setting that tell it from its method's others."""
    fields = [x for x in setting.split(", ") if not x.startswith("window=")]
    own = [x for x in fields[1:] if x[-1] != "e" and x.startswith("shift=")]
    return ", ".join([*fields[:1], *own])


def few(rows: Rows) -> str:
    """All rows of few steps, the nearest to the full run first."""
    order = sorted(rows, key=lambda row: -row["psnr"])
    return table([named(row) for row in order], ["row", "computed", "psnr", "detail"])


TABLES = {
    **{f"caches_{share}": band(share) for share in BANDS},
    "caches_few": PageTable(
        "benchmarks.caches --steps 4", "caches", few, lambda row: row["steps"] == 4
    ),
    "caches_hits": PageTable(
        "benchmarks.caches.hits",
        "caches_hits",
        columns("speedup_denoise", "accuracy", "accuracy_changed", "detail"),
    ),
}
