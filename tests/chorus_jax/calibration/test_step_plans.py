"""Plans of steps from the products of velocities."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.calibration.step_plans import (
    NEVER,
    StepPlanner,
    best_steps,
    growth_of,
    line_weights,
)

STEPS = 8
MOVES = -np.full(STEPS, 1 / STEPS)


def planner(velocities, **more):
    flat = np.asarray(velocities, float)
    products = flat @ flat.T
    products = products / products.diagonal().mean()
    return StepPlanner(products, MOVES, np.ones(STEPS), **more)


def test_the_plan_is_the_best_of_all():
    rng = np.random.default_rng(0)
    table = rng.random((STEPS + 2, STEPS + 2, STEPS + 2))
    cost = lambda *steps: table[steps]

    def total(chain):
        whole = (NEVER, *chain, STEPS)
        return sum(cost(*x) for x in zip(whole, whole[1:], whole[2:]))

    for count in range(1, STEPS + 1):
        every = itertools.combinations(range(1, STEPS), count - 1)
        best = min(((0, *x) for x in every), key=total)
        assert best_steps(cost, STEPS, count) == best


def test_steps_of_a_line_are_forecast_without_error():
    along = np.arange(STEPS)[:, None] * [[1.0, 0.0]] + [[3.0, 2.0]]
    plan = planner(along).planned(2)
    computed = [i for i in range(STEPS) if i not in plan.steps]
    forecast = np.array(plan.forecasts[-1]) @ along[computed[::-1]]
    np.testing.assert_allclose(forecast, along[plan.steps[-1]], rtol=1e-4)


def test_a_line_goes_through_the_last_two_values():
    assert line_weights((6, 4), 7) == (1.5, -0.5)
    assert line_weights((6,), 9) == (1.0,)


def test_a_plan_forecasts_residuals_and_a_factor_is_of_velocities():
    moving = planner(np.random.default_rng(4).normal(size=(STEPS, 5)))
    assert moving.planned(4).grain == "residual"
    assert {moving.held(4).grain, moving.scaled(4).grain} == {"velocity"}


def test_steps_are_computed_where_velocities_change():
    changing = np.eye(4)[[0, 0, 0, 1, 2, 3, 3, 3]]
    assert planner(changing).held(4).steps == (1, 2, 6, 7)


def test_a_factor_is_least_squares():
    plan = planner(1.1 ** np.arange(STEPS)[:, None]).scaled(1)
    gains = [gain for (gain,) in plan.forecasts]
    np.testing.assert_allclose(gains, 1.1 ** np.arange(1, STEPS), rtol=1e-3)


def test_nothing_is_forecast_from_before_a_second_expert():
    rng = np.random.default_rng(1)
    plan = planner(rng.normal(size=(STEPS, 5)), begins=(0, 3)).planned(4)
    assert not {0, 3} & set(plan.steps)
    first = min(i for i in plan.steps if i > 3)
    assert first != 4 or len(plan.forecasts[plan.steps.index(4)]) == 1


def test_growth_is_the_error_at_the_end_over_that_of_the_step():
    flat = np.random.default_rng(2).normal(size=(STEPS, 5))
    made = lambda i: np.square(MOVES[i] * (flat[i] - flat[i - 1])).sum()
    errors = {2: 4 * made(2), 6: 1 * made(6)}
    growth = growth_of(flat @ flat.T, MOVES, errors)
    np.testing.assert_allclose(growth[[0, 2, 4, 6, 7]], [4, 4, 2, 1, 1])


def test_steps_are_computed_where_errors_grow():
    flat = np.random.default_rng(3).normal(size=(STEPS, 5))
    early = replace(planner(flat), growth=np.geomspace(1e6, 1, STEPS))
    assert early.held(4).steps[0] > 2


@pytest.mark.parametrize("count", [0, STEPS + 1])
def test_impossible_numbers_of_steps_are_refused(count):
    with pytest.raises(ValueError, match=f"expected 1 to {STEPS} steps, got {count}"):
        planner(np.ones((STEPS, 1))).held(count)
