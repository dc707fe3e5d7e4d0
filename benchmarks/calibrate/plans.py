"""Rows of a table of plans: what each plan costs and loses at which score."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from chorus_jax.calibration.plan_table import Column, PlanTable
from chorus_jax.inter_request.policy.policy import Tier

BANDS = 8  # ranges of scores with equally many targets
KEY = ("name", "steps")  # a new table's rows replace those of the one before
COLUMNS = (
    *("row", "least", "most", "targets", "equivalents"),
    *("accuracy_reliable_loss", "accuracy_changed_loss", "detail_loss"),
)


def rows_of(table: PlanTable) -> Iterator[dict[str, Any]]:
    """Rows of each plan by bands of scores, best scores first.

    A plan has rows of the bands on all of whose targets it was run.
    """
    ends = np.linspace(0, len(table.scores), BANDS + 1).round().astype(int).tolist()
    for column in table.columns:
        for band, (first, end) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
            if column.first <= first < end <= column.targets:
                scores = table.scores[first:end]
                place = {"band": band, "least": scores[-1], "most": scores[0]}
                losses = _losses(table, column, first, end)
                yield {
                    "row": tier_name(column.tier),
                    "split": "plans",
                    **place,
                    **losses,
                }


def tier_name(tier: Tier) -> str:
    """The first step that a tier computes, and the end and active share of a region."""
    name = str(tier.reuse_until)
    if tier.active < 1:
        name += f"-{tier.region_until} {tier.active:g}"
    return name


def _losses(table: PlanTable, column: Column, first: int, end: int) -> dict[str, Any]:
    """The mean cost and losses of some targets, by figure; those none has left out."""
    targets, cost = end - first, float(column.cost[end] - column.cost[first])
    lost, of = (x[end] - x[first] for x in (column.lost, column.of))
    means = {
        f"{figure}_loss": float(amount / count)
        for figure, amount, count in zip(table.limits.allowed, lost, of, strict=True)
        if count > 0
    }
    return {"targets": targets, "equivalents": cost / targets, **means}
