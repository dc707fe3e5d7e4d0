"""Presets of token budgets: their work at any number of steps, what is refused."""

import pytest

from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.request import Request
from chorus_jax.token_budgets import TokenBudgets, TokenGroup
from chorus_jax.token_budgets.presets import PRESETS, named, nearest

LEAST = {"hsa-75": 0.70, "hsa-50": 0.47, "hsa-25": 0.23}
MOST = {"hsa-75": 0.75, "hsa-50": 0.525, "hsa-25": 0.315}


def work(budgets):
    plan = StepPlan.plain(budgets.steps, budgets=budgets)
    return equivalents(plan, 1000) / budgets.steps


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("steps", [20, 25, 30, 32, 40, 48, 49, 50, 100])
def test_a_preset_computes_about_what_its_name_says(name, steps):
    if steps >= PRESETS[name].least:
        assert LEAST[name] < work(named(name, steps)) < MOST[name]


@pytest.mark.parametrize("name", PRESETS)
def test_the_work_of_50_steps_is_that_of_the_preset(name):
    assert work(named(name, 50)) == pytest.approx(PRESETS[name].work, abs=0.005)


@pytest.mark.parametrize("steps", [20, 28, 30, 40, 50, 100])
def test_hsa_50_runs_all_tokens_in_every_second_step(steps):
    budgets = named("hsa-50", steps)
    assert budgets.periods() == [2]
    assert (budgets.early, budgets.late) == (1, 0)


def test_hsa_25_runs_all_tokens_in_the_first_three_steps_and_in_every_fifth():
    budgets = named("hsa-25", 50)
    assert budgets.periods() == [5] and (budgets.early, budgets.late) == (3, 0)


@pytest.mark.parametrize(
    "name, steps, period, early",
    [("hsa-50", 25, 5, 9), ("hsa-50", 27, 3, 8), ("hsa-25", 48, 6, 5)],
)
def test_full_steps_at_the_start_make_up_for_a_longer_period(
    name, steps, period, early
):
    budgets = named(name, steps)
    assert (budgets.periods(), budgets.early) == ([period], early)


def test_hsa_75_runs_a_part_of_the_tokens_in_every_step():
    budgets = named("hsa-75", 50)
    assert budgets.periods() == [1, 2] and (budgets.early, budgets.late) == (16, 2)


@pytest.mark.parametrize(
    "name, steps, message",
    [
        ("hsa-10", 50, "'hsa-10'.*hsa-75, hsa-50, hsa-25"),
        ("hsa-50", 4, "hsa-50 are for 16 steps or more, this schedule has 4"),
        ("hsa-25", 29, "hsa-25 are for 30 steps or more, this schedule has 29"),
        ("hsa-50", 17, "a divisor from 2 to 8, and 17 has none: take 18 steps"),
        ("hsa-25", 34, "a divisor from 4 to 8, and 34 has none: take 35 steps"),
    ],
)
def test_unknown_names_and_steps_that_do_not_fit_are_refused(name, steps, message):
    with pytest.raises(ValueError, match=message):
        named(name, steps)


@pytest.mark.parametrize("period, want", [(5, 5), (4, 5), (2, 2), (3, 2), (99, 5)])
def test_periods_divide_the_steps(period, want):
    assert nearest(period, 50, 1.0) == want


@pytest.mark.parametrize("least, want", [(1.9, 3), (3.0, 4), (6.0, 8), (8.5, 9)])
def test_a_period_is_longer_where_a_shorter_one_costs_too_much(least, want):
    assert nearest(3, 72, least) == want


def test_a_request_takes_a_name_or_budgets_for_its_steps():
    assert Request("", tokens="hsa-50").token_budgets == named("hsa-50", 50)
    assert Request("", tokens="hsa-50", steps=20).token_budgets.steps == 20
    own = TokenBudgets(50, (TokenGroup(1.0, 25),), early=1)
    assert Request("", tokens=own).token_budgets is own
    assert Request("").token_budgets is None
    for tokens, message in (
        (own, "are for 50 steps, but the schedule has 20"),
        (7, "must be the name of a preset or TokenBudgets, got 7"),
        ("hsa", "no token budgets are named 'hsa'"),
    ):
        with pytest.raises(ValueError, match=message):
            Request("", tokens=tokens, steps=20)
