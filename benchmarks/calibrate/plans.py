"""Rows of a table of plans: what each plan costs and loses at which score."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from chorus_jax.calibration.plan_table import Column, PlanTable

BANDS = 8  # ranges of scores with equally many targets
KEY = ("row", "name", "steps", "band")
COLUMNS = (
    *("row", "least", "most", "targets", "equivalents"),
    *("accuracy_reliable_loss", "accuracy_changed_loss", "detail_loss"),
)


def rows_of(table: PlanTable) -> Iterator[dict[str, Any]]:
    """Rows of each plan by bands of scores, best scores first.

    A plan that was given up has rows of the bands that it was run on as a whole.
    """
    ends = np.linspace(0, len(table.scores), BANDS + 1).round().astype(int).tolist()
    for column in table.columns:
        for band, (first, end) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
            if first < end <= column.targets:
                scores = table.scores[first:end]
                place = {"band": band, "least": scores[-1], "most": scores[0]}
                losses = _losses(table, column, first, end)
                yield {"row": name(column), "split": "plans", **place, **losses}


def name(column: Column) -> str:
    """A plan's name: its first computed step, the end of its region, its share."""
    tier = column.tier
    if tier.region_until == tier.reuse_until:
        return f"{tier.reuse_until}, all tokens"
    return f"{tier.reuse_until}-{tier.region_until} {tier.active:g}"


def _losses(table: PlanTable, column: Column, first: int, end: int) -> dict[str, Any]:
    """The mean cost and losses of some targets, by figure; those none has left out."""
    count, cost = end - first, float(column.cost[end] - column.cost[first])
    lost, of = (x[end] - x[first] for x in (column.lost, column.of))
    means = {
        f"{figure}_loss": float(amount / whole)
        for figure, amount, whole in zip(table.limits.allowed, lost, of, strict=True)
        if whole > 0
    }
    return {"targets": count, "equivalents": cost / count, **means}
