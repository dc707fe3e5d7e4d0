"""The tables of calibrations."""

from collections.abc import Callable
from statistics import median

import numpy as np

from benchmarks.calibrate import tried
from benchmarks.calibrate.plans import BANDS
from benchmarks.lib.rows import table
from benchmarks.lib.tables import (
    Draw,
    PageTable,
    Row,
    Rows,
    check_one_model,
    columns,
    with_steps,
)


def of_pairs(row: Row) -> bool:
    """Whether a row measures pairs of prompts over a ladder of reuse."""
    return "lost_at" in row


def lost(*steps: int) -> Draw:
    """A function that draws the loss of each attribute, a column per number of steps.

    `steps` are numbers of reused steps, after which all tokens are run.
    """

    def draw(rows: Rows) -> str:
        check_one_model(rows)
        lines = [
            {
                "lost of": row["row"],
                **{f"{n}": row["lost_at"].get(f"{n}") for n in steps},
            }
            for row in rows
        ]
        return table(lines, list(lines[0]))

    return draw


def beyond(rows: Rows) -> str:
    """Draws the loss of every attribute at each rung that has a region.

    A second column per rung has the difference between the two videos outside the
    region: minimum, median and maximum.
    """
    check_one_model(rows)
    lines = []
    for row in rows:
        line = {"lost of": row["row"]}
        for rung, far in row["beyond"].items():
            line[rung] = row["lost_at"][rung]
            spread = (min(far), median(far), max(far))
            line[f"beyond {rung}"] = " / ".join(f"{value:.2f}" for value in spread)
        lines.append(line)
    return table(lines, list(lines[0]))


def by_score(rows: Rows) -> str:
    """Draws the cost and the losses of plans: a line per plan, a column per two bands.

    A loss is the share of hits that show anything wrong that their full runs have
    right, minus the share that show something right that they have wrong.
    """
    check_one_model(rows)
    lines = []
    for plan in dict.fromkeys(row["row"] for row in rows):
        ours = {row["band"]: row for row in rows if row["row"] == plan}
        line = {"plan": plan, "equivalents": _mean(list(ours.values()), "equivalents")}
        for band in range(0, BANDS, 2):
            both = [row for row in rows if row["band"] in (band, band + 1)]
            least, most = min(x["least"] for x in both), max(x["most"] for x in both)
            here = [ours[x] for x in (band, band + 1) if x in ours]
            known = _mean(here, "accuracy_reliable_loss") if len(here) == 2 else None
            line[f"{least:.2f} to {most:.2f}"] = known
        lines.append(line)
    return table(lines, list(lines[0]))


def _mean(rows: Rows, figure: str) -> float:
    """The mean of a figure over the targets of some rows."""
    targets = [row["targets"] for row in rows]
    return float(np.average([row[figure] for row in rows], weights=targets))


def limit(row: Row) -> str:
    """The label of a row: its steps and its limit."""
    return f"{row['steps']} steps, {row['limit']:g}"


def split(row: Row) -> str:
    """The label of a row: its steps, and whether its targets are the search's."""
    return f"{row['steps']} steps, {row['split']}"


def of_chosen(over: str) -> Callable[[Row], bool]:
    """A test of a row: whether it has a chosen policy and covers hits of this kind."""
    return lambda row: row["row"] == "chosen" and row["over"] == over


def of_limits(row: Row) -> bool:
    """Whether a row measures a limit of regions."""
    return row["split"] == "limit"


def has_regions(row: Row) -> bool:
    """Whether a row measures pairs of prompts with regions."""
    return of_pairs(row) and any(row.get("beyond", {}).values())


def of_steps(steps: int) -> Callable[[Row], bool]:
    """A test of a row of pairs by its number of steps."""
    return lambda row: of_pairs(row) and row["steps"] == steps


CALIBRATE = "benchmarks.calibrate"
TABLES = {
    "sensitivity": PageTable(
        CALIBRATE,
        "calibrate",
        columns("pairs", "right", "lost", "sensitivity", row=with_steps),
        of_pairs,
    ),
    "lost_50": PageTable(CALIBRATE, "calibrate", lost(5, 10, 20, 30), of_steps(50)),
    "beyond": PageTable(CALIBRATE, "calibrate", beyond, has_regions),
    "limits": PageTable(
        CALIBRATE,
        "calibrate",
        columns(
            *("targets", "equivalents", "accuracy_changed_loss"),
            *("accuracy_reliable_loss", "detail_loss"),
            row=limit,
        ),
        of_limits,
    ),
    "calibrated_changed": PageTable(
        CALIBRATE,
        "calibrate",
        columns(
            *("targets", "equivalents", "accuracy_changed_loss"),
            *("accuracy_reliable_loss", "detail_loss"),
            row=split,
        ),
        of_chosen("changed"),
    ),
    "calibrated_reworded": PageTable(
        CALIBRATE,
        "calibrate",
        columns(
            *("targets", "equivalents", "accuracy_loss"),
            *("accuracy_reliable_loss", "detail_loss"),
            row=split,
        ),
        of_chosen("reworded"),
    ),
    "plans_50": PageTable(
        CALIBRATE, "calibrate_plans", by_score, lambda row: row["steps"] == 50
    ),
    "tried": PageTable(CALIBRATE, "calibrate_tried", tried.summary),
}
