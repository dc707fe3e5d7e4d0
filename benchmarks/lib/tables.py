"""Tables of the pages of results, drawn from measured rows."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.lib.rows import table

Row = dict[str, Any]
Rows = list[Row]
Draw = Callable[[Rows], str]


@dataclass(frozen=True)
class PageTable:
    """A table of a page.

    Attributes:
        script: the module that measures its rows, for `python -m`.
        benchmark: the name of the file of its rows.
        draw: draws the rows of one device as Markdown.
        shows: returns whether a row is drawn.
    """

    script: str
    benchmark: str
    draw: Draw
    shows: Callable[[Row], bool] = lambda row: True


def name_of(row: Row) -> str:
    """A row's name."""
    return str(row["row"])


def with_steps(row: Row) -> str:
    """A row's number of steps and its name."""
    return f"{row['steps']} steps, {row['row']}"


def columns(*names: str, row: Callable[[Row], str] = name_of) -> Draw:
    """A function that draws these figures of each row, labelled by `row`."""

    def draw(rows: Rows) -> str:
        check_one_model(rows)
        lines = [{**line, "row": row(line)} for line in rows]
        return table(lines, ["row", *names])

    return draw


def transposed(
    rows: Sequence[Row], names: Iterable[str], row: Callable[[Row], str] = name_of
) -> str:
    """Draws a line per figure and a column per row."""
    check_one_model(rows)
    lines = [
        {"figure": name, **{row(column): column.get(name) for column in rows}}
        for name in names
    ]
    return table(lines, ["figure", *map(row, rows)])


def named(test: Callable[[str], bool]) -> Callable[[Row], bool]:
    """Makes a test of rows from a test of their names."""
    return lambda row: test(row["row"])


def check_one_model(rows: Sequence[Row]) -> None:
    """Raises a ValueError if the rows were measured with different weights."""
    known: dict[str, str] = {}
    for row in rows:
        for part, fingerprint in row.get("weights", {}).items():
            if known.setdefault(part, fingerprint) != fingerprint:
                raise ValueError(
                    f"rows of one table are of one model, but {row['row']!r} is of the "
                    f"{part} {fingerprint} and others are of {known[part]}: measure "
                    f"them again with `{row['command']}`"
                )
