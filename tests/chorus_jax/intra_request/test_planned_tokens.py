"""Plans of tokens: the weights of each past, whole runs, what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.schedulers import Euler
from tests.chorus_jax.intra_request.fake import run

SHARES = (1.0, 1.0, 0.0, 0.5, 0.0, 1.0)
FORECASTS = ((2, (1, 0), (1.5, -0.5)), (4, (3,), (0.9,)), (4, (1, 0), (3.0, -2.0)))
PLAN = PlannedTokens(SHARES, FORECASTS)


def test_weights_follow_the_past_of_each_token():
    past = jnp.array([[1, 0], [3, 1], [1, 0], [0, -1], [3, 1]])
    steps = jnp.array([2, 4, 4, 4, 5])
    weights = PLAN.weights(past, steps, Euler.spaced(6, 3.0).schedule)
    want = [[1.5, -0.5], [0.9, 0], [3, -2], [1, 0], [1, 0]]
    np.testing.assert_allclose(weights, want)


def test_without_token_budgets_it_runs_whole_steps():
    """Velocities of the fake are 11 i where step i is computed."""
    velocities, _, work = run(PLAN, 0, 6)
    assert work[:, 0].tolist() == [1, 1, 0, 1, 0, 1]
    np.testing.assert_allclose(velocities[:, 0], [0, 11, 16.5, 33, 29.7, 55], rtol=1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: PlannedTokens((1.0, -0.1)), "a share from 0 to 1"),
        (lambda: PlannedTokens(SHARES, early=1), "2 early full steps or more"),
        (lambda: PlannedTokens(SHARES, ((2, (1,), (1.0, 2.0)),)), "a weight for each"),
        (lambda: PlannedTokens(SHARES, ((2, (2,), (1.0,)),)), "before step 2"),
        (lambda: PLAN.computes(5), "is for 6 steps, this run has 5"),
    ],
)
def test_impossible_plans_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
