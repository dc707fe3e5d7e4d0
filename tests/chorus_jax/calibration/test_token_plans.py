"""Plans of tokens from the products of the velocities of groups of tokens."""

import numpy as np
import pytest

from chorus_jax.calibration.step_plans import StepPlanner
from chorus_jax.calibration.token_plans import TokenPlanner
from chorus_jax.intra_request.planned_tokens import PlannedTokens

STEPS = 8
MOVES = -np.full(STEPS, 1 / STEPS)
RNG = np.random.default_rng(0)
MOVING = RNG.normal(size=(STEPS, 20))
STILL = np.ones((STEPS, 1)) * RNG.normal(size=20)


def planner(*velocities, shares=(0.25, 1.0), costs=None, begins=(0,)):
    """A planner of groups with these velocities; errors do not grow."""
    products = np.stack([x @ x.T for x in velocities])
    energies = np.einsum("gss->g", products) / STEPS
    groups = tuple(
        StepPlanner(own / energy, MOVES, np.ones(STEPS), begins)
        for own, energy in zip(products, energies)
    )
    parts = tuple(map(float, energies / energies.sum()))
    return TokenPlanner(groups, parts, shares, costs or shares)


def test_a_group_that_does_not_change_is_not_run():
    plan = planner(MOVING, STILL).planned(2 + 6 * 0.25)
    assert plan.shares == (1.0, 1.0) + (0.25,) * 6
    assert plan.budgets.sets(0, STEPS, 8, 2) == ((*range(8),),) * 2 + ((0, 1),) * 6


def test_all_of_the_cost_is_plain_sampling():
    assert planner(MOVING, MOVING[::-1]).planned(float(STEPS)) == PlannedTokens()


def test_steps_are_skipped_where_a_part_costs_as_much_as_all():
    """What a step of few tokens costs is measured, and need not be their share."""
    ours = planner(MOVING, STILL, costs=(1.0, 1.0)).planned(4.0)
    assert set(ours.shares) <= {0.0, 0.25, 1.0} and ours.shares.count(0.0) == 4


def test_the_cheapest_plan_within_a_loss_loses_no_more():
    ours = planner(MOVING, 0.3 * MOVING[::-1])
    for loss in (0.01, 0.1):
        cheap = ours.cheapest(loss)
        cost = sum(cheap.shares)
        assert cost < STEPS and ours.planned(cost) == cheap
    with pytest.raises(ValueError, match="costs 16 units, got 8"):
        ours.planned(1.0)


def test_forecasts_are_of_a_groups_own_last_steps():
    line = np.arange(STEPS)[:, None] * MOVING[:1] + MOVING[1:2]
    plan = planner(line, 2 * line).fitted((2, 2, 1, 0, 2, 0, 1, 0))
    pasts = {(step, past) for step, past, _ in plan.forecasts}
    assert pasts == {
        *((2, (1, 0)), (3, (2, 1)), (3, (1, 0)), (5, (4, 2)), (5, (4, 1))),
        *((6, (4, 1)), (7, (6, 4)), (7, (4, 1))),
    }
    for step, past, weights in plan.forecasts:
        np.testing.assert_allclose(
            weights @ line[list(past)], line[step], rtol=5e-2, atol=0.1
        )


def test_nothing_is_forecast_from_before_a_second_expert():
    plan = planner(MOVING, STILL, begins=(0, 4)).planned(3.5)
    assert plan.shares[4] == 1.0
    assert all(min(past) >= 4 for step, past, _ in plan.forecasts if step > 4)


@pytest.mark.parametrize(
    ("begins", "full"), [((0,), {0, 1}), ((0, 4), {0, 1, 4}), ((0, 1), {0, 1, 2})]
)
def test_the_steps_that_rank_the_tokens_run_all_of_them(begins, full):
    """Also those of a second expert, if the first one ends too early to rank them."""
    assert planner(MOVING, STILL, begins=begins).full == full
