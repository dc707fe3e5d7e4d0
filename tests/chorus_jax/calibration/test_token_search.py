"""Plans of groups of tokens, against all plans there are."""

import itertools

import numpy as np
import pytest

from chorus_jax.calibration.token_search import searched

STEPS = 5
FULL = (0, 1)
CASES = {1: (2,), 2: (1, 3), 3: (1, 2, 4)}  # prices by the number of groups


def every(groups):
    """All plans that run everything in the first two steps."""
    for more in itertools.product(range(groups + 1), repeat=STEPS - len(FULL)):
        yield (groups, groups, *more)


def lost(plan, losses):
    """The sum over all groups and intervals."""
    total = 0.0
    for group, loss in enumerate(losses):
        ran = [i for i, count in enumerate(plan) if count > group]
        total += sum(loss[pair] for pair in itertools.pairwise([*ran, STEPS]))
    return total


def paid(plan, prices):
    return sum(prices[count - 1] for count in plan if count)


@pytest.fixture(params=CASES)
def case(request):
    groups, rng = request.param, np.random.default_rng(request.param)
    losses = [rng.random((STEPS, STEPS + 1)) for _ in range(groups)]
    prices = CASES[groups]
    plans = searched(losses, prices, FULL, STEPS * prices[-1])
    return plans, losses, prices, list(every(groups))


def test_the_least_loss_within_a_cost_is_that_of_all_plans(case):
    plans, losses, prices, others = case
    least = len(FULL) * prices[-1]
    for most in range(least, STEPS * prices[-1] + 1):
        within = (plan for plan in others if paid(plan, prices) <= most)
        best = min(within, key=lambda plan: lost(plan, losses))
        assert plans.within(most) == best
    with pytest.raises(ValueError, match=f"costs {least} units, got {least - 1}"):
        plans.within(least - 1)


def test_the_cheapest_plan_within_a_loss_is_that_of_all_plans(case):
    plans, losses, prices, others = case
    least = min(lost(plan, losses) for plan in others)
    for loss in least + np.array([1e-3, 0.3, 1.0, 3.0]):
        allowed = (plan for plan in others if lost(plan, losses) <= loss)
        cost = min(paid(plan, prices) for plan in allowed)
        chosen = plans.cheapest(loss)
        assert paid(chosen, prices) == cost and lost(chosen, losses) <= loss
    with pytest.raises(ValueError, match="the least loss of a plan"):
        plans.cheapest(least - 1e-3)
