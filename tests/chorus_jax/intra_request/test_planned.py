"""Planned steps: weights of their own, and runs that they were not planned for."""

import numpy as np
import pytest

from chorus_jax.intra_request.planned import PlannedCache
from tests.chorus_jax.intra_request.fake import run

# Velocities of the fake are 11 i where step i is computed.
CACHE = PlannedCache((1, 3, 4), ((2.0,), (1.5, -0.5), (2.0, -1.0)), 6)


def test_each_step_has_weights_of_its_own():
    velocities, _, work = run(CACHE, 0, 6)
    assert work[:, 0].tolist() == [1, 0, 1, 0, 0, 1]
    np.testing.assert_allclose(velocities[:, 0], [0, 0, 22, 33, 44, 55])


def test_a_run_that_begins_later_takes_over_the_last_velocity():
    velocities, _, work = run(CACHE, 1, 6, steps=6)
    assert work[:, 0].tolist() == [1, 1, 0, 0, 1]
    assert velocities[:, 0].tolist() == [11, 22, 22, 22, 55]


def test_a_forecast_residual_is_added_to_the_tokens_of_the_step():
    cache = PlannedCache((2,), ((3.0, -1.0),), 3, "residual")
    velocities, _, work = run(cache, 0, 3)
    assert work[:, 0].tolist() == [1, 1, 0]
    np.testing.assert_allclose(velocities[:, 0], [0, 11, 2 + 3 * 10])


def test_a_factor_needs_the_velocity_that_it_is_of():
    cache = PlannedCache((2, 3), ((0.5,), (0.25,)), 4)
    assert run(cache, 0, 4)[0][:, 0].tolist() == [0, 11, 5.5, 2.75]
    assert run(cache, 2, 4, steps=4)[0][:, 0].tolist() == [22, 22]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: PlannedCache((2, 1)), "rising from 0"),
        (lambda: PlannedCache((1, 2), ((1.0,),)), "weights for each of 2 steps, got 1"),
        (lambda: PlannedCache((1,), ((),)), "1 weight or more"),
        (lambda: PlannedCache((1,), (), 6).computes(5), "runs of 6 steps, this one"),
        (lambda: PlannedCache((), grain="keys"), "residual, branches, got 'keys'"),
    ],
)
def test_impossible_plans_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
