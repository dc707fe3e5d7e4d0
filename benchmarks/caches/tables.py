"""Tables of step caches side by side."""

from benchmarks.lib.rows import table
from benchmarks.lib.tables import PageTable, Row, Rows, check_one_model

FIGURES = ("computed", "psnr", "ssim", "accuracy", "detail", "smoothness")
TIMES = ("computed", "seconds", "share")


def of_steps(steps: int) -> PageTable:
    """The table of a number of steps."""
    return PageTable(
        "benchmarks.caches",
        "caches",
        lambda rows: by_work(rows, FIGURES),
        lambda row: row["steps"] == steps,
    )


def by_work(rows: Rows, figures: tuple[str, ...]) -> str:
    """The rows from much work to little."""
    check_one_model(rows)
    order = sorted(rows, key=lambda row: (-round(row["computed"], 2), row["row"]))
    return table([shortened(row) for row in order], ["row", "setting", *figures])


def shortened(row: Row) -> Row:
    """A row whose setting names what is not usual only."""
    usual = ("grain=velocity", "last=0", "longest=None", "depth=1", "switch=0")
    fields = [x for x in row["setting"].split(", ") if x not in usual]
    dull = ("shift=None", "resampled=False", "ridge=", "mix=", "degree=")
    fields = [x for x in fields if not x.startswith(dull)]
    return {**row, "setting": ", ".join(fields)}


TABLES = {
    "caches_50": of_steps(50),
    "caches_4": of_steps(4),
    "caches_time": PageTable(
        "benchmarks.caches --time", "caches_time", lambda rows: by_work(rows, TIMES)
    ),
}
