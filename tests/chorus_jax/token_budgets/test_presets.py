"""Presets of token budgets: their work at any number of steps, what is refused."""

import pytest

from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.request import Request
from chorus_jax.token_budgets import TokenBudgets, TokenGroup
from chorus_jax.token_budgets.presets import PRESETS, named, nearest

MOST = {"hsa-75": 0.755, "hsa-50": 0.505, "hsa-25": 0.255}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("steps", [20, 30, 40, 50])
def test_a_preset_computes_about_what_its_name_says(name, steps):
    plan = StepPlan.plain(steps, budgets=named(name, steps))
    work = equivalents(plan, 1000) / steps
    assert work <= MOST[name]
    assert work == pytest.approx(PRESETS[name].work, abs=0.08)


@pytest.mark.parametrize("steps", [20, 28, 30, 40, 50, 100])
def test_hsa_50_runs_all_tokens_in_every_second_step(steps):
    budgets = named("hsa-50", steps)
    assert budgets.periods() == [2]
    assert (budgets.early, budgets.late) == (1, 0)


def test_a_preset_whose_period_does_not_divide_the_steps_has_two_groups():
    budgets = named("hsa-50", 25)
    assert budgets.periods() == [1, 5] and (budgets.early, budgets.late) == (2, 0)


def test_unknown_names_and_too_few_steps_are_refused():
    with pytest.raises(ValueError, match="'hsa-10'.*hsa-75, hsa-50, hsa-25"):
        named("hsa-10", 50)
    with pytest.raises(ValueError, match="for 16 steps or more, this schedule has 4"):
        named("hsa-50", 4)
    with pytest.raises(ValueError, match="17 is a prime number"):
        named("hsa-50", 17)


@pytest.mark.parametrize("period, want", [(5, 5), (4, 5), (7, 5), (10, 10), (99, 25)])
def test_periods_divide_the_steps(period, want):
    assert nearest(period, 50) == want


@pytest.mark.parametrize("least, want", [(4.9, 5), (5.0, 10), (20.0, 25), (30.0, 25)])
def test_a_period_is_longer_where_a_shorter_one_costs_too_much(least, want):
    assert nearest(5, 50, least) == want


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
