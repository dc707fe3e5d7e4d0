"""The tables of starts of hits, and of caches by normalised text."""

from benchmarks.lib.rows import table
from benchmarks.lib.tables import PageTable, Row, Rows, columns, with_steps


def with_kind(row: Row) -> str:
    """The row's name after its number of steps and how its source differs."""
    return f"{row['steps']} steps, {row['over']}, {row['row']}"


def changed(row: Row) -> bool:
    """Whether a row is over hits that differ from their source."""
    return row["over"] == "changed"


def normalised(rows: Rows) -> str:
    """Draws the share of equal pairs, with a line per normal form."""
    lines: dict[str, Row] = {}
    for row in rows:
        line = lines.setdefault(row["row"], {"normal form": row["row"]})
        line[f"{row['pairs']} {row['over']}"] = row["equal"]
    first, *_ = lines.values()
    return table([*lines.values()], [*first])


TABLES = {
    "starts": PageTable(
        "benchmarks.starts.starts",
        "starts",
        columns("equivalents", "accuracy_changed", "detail", "variety", row=with_kind),
    ),
    "starts_trajectory": PageTable(
        "benchmarks.starts.starts",
        "starts_trajectory",
        columns("equivalents", "accuracy_changed", "detail", "variety", row=with_steps),
        changed,
    ),
    "normalised": PageTable("benchmarks.starts.normalised", "normalised", normalised),
}
