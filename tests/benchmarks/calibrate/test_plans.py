"""Rows of a table of plans are means over bands of scores."""

import numpy as np
import pytest

from benchmarks.calibrate.plans import BANDS, COLUMNS, rows_of, tier_name
from benchmarks.calibrate.tables import by_score
from benchmarks.reuse.losses import LIMITS, OVERALL, SEARCHED
from chorus_jax.calibration.losses import LossLimits
from chorus_jax.calibration.plan_table import Column, PlanTable
from chorus_jax.inter_request.policy.policy import Tier

COUNT = 4 * BANDS
FIGURES = LossLimits({"accuracy_reliable": 0.03, "detail": 0.04}, frozenset({"detail"}))


def column(tier, targets):
    """Costs that rise by one, every fourth target lost, and detail that is halved."""
    each = np.arange(targets)
    lost = np.stack([each % 4 == 3, np.full(targets, 0.4)], axis=1)
    of = np.stack([np.ones(targets), np.full(targets, 0.8)], axis=1)
    zero = np.zeros((1, 2))
    sums = [np.concatenate([zero, x.cumsum(axis=0)]) for x in (lost, of)]
    return Column(tier, np.concatenate([[0.0], np.cumsum(each)]), *sums)


def table(targets=COUNT):
    scores = tuple(np.linspace(1.0, 0.5, COUNT).tolist())
    plan = column(Tier(0.0, 20, 45, 0.5), targets)
    return PlanTable(scores, (plan,), FIGURES)


def test_a_row_is_the_mean_of_its_band():
    measured = [*rows_of(table())]
    assert [row["targets"] for row in measured] == [4] * BANDS
    for band, row in enumerate(measured):
        assert row["equivalents"] == 4 * band + 1.5
        assert row["accuracy_reliable_loss"] == 0.25
        assert row["detail_loss"] == pytest.approx(0.5)
        assert (row["band"], row["row"]) == (band, "20-45 0.5")
    assert [row["most"] for row in measured] == sorted(
        (row["most"] for row in measured), reverse=True
    )
    assert measured[0]["most"] == 1.0 and measured[-1]["least"] == 0.5
    assert {*COLUMNS} - {*measured[0]} == {"accuracy_changed_loss"}  # no target has it


def test_a_plan_that_was_given_up_has_no_row_of_a_band_it_did_not_finish():
    assert [row["band"] for row in rows_of(table(4 * BANDS - 1))] == [*range(BANDS - 1)]
    assert [*rows_of(table(3))] == []


def test_a_table_shows_what_a_plan_loses_at_which_score():
    whole, cut = [*rows_of(table())], [*rows_of(table(4 * BANDS - 1))]
    lines = by_score(whole + [{**row, "row": "cut"} for row in cut]).splitlines()
    heads, first, second = ([x.strip() for x in lines[n].split("|")] for n in (0, 2, 3))
    assert heads[1:3] == ["plan", "equivalents"] and heads[3].endswith(" to 1.00")
    assert heads[-2].startswith("0.50 to ")
    assert first[1:] == ["20-45 0.5", "15.5", *["0.25"] * (BANDS // 2), ""]
    assert second[3:] == [*["0.25"] * (BANDS // 2 - 1), "", ""]


def test_a_plan_without_a_region_is_named_by_its_first_step():
    assert tier_name(Tier(0.0, 10, 10)) == "10"


def test_a_search_allows_half_of_the_wrong_hits_that_its_result_may_have():
    for figure, most in OVERALL.items():
        share = 1.0 if figure in LIMITS.relative else 0.5
        assert SEARCHED.overall[figure] == share * most
        assert SEARCHED.allowed[figure] == share * LIMITS.allowed[figure]
    assert SEARCHED.relative == LIMITS.relative
