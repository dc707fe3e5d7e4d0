"""The weights by which the velocities of tokens that are not run are forecast."""

import numpy as np

from chorus_jax.denoise.token_forecasts import TokenForecasts
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.schedulers.flow import Schedule

SETS = ((0, 1), (0, 1), (1,), (0,), ())


def weights(sets):
    sigmas = np.linspace(1, 0, 9, dtype=np.float32)[:-1]
    schedule = Schedule.of(sigmas, 1000 * sigmas)
    return TokenForecasts(TaylorSeer(order=1), 0, sets, 2).weights(schedule)


def test_a_tile_that_is_run_has_its_velocity_and_others_are_on_a_line():
    made = weights(SETS)
    assert made.shape == (5, 3, 2)
    for step, ranks in enumerate(SETS):
        for rank in ranks:
            assert made[step, rank].tolist() == [1, 0]
    np.testing.assert_allclose(made[2, 0], [2, -1], atol=1e-6)  # of steps 1 and 0
    np.testing.assert_allclose(made[3, 1], [2, -1], atol=1e-6)  # of steps 2 and 1


def test_streams_that_every_pass_runs_are_fresh_whichever_tiles_it_runs():
    """Also where the first tile is not run: sound is not forecast like it."""
    made = weights(SETS)
    assert made[:4, -1].tolist() == [[1, 0]] * 4
    np.testing.assert_allclose(made[4, -1], [2, -1], atol=1e-6)  # of steps 3 and 2
    assert made[2, 0].tolist() != made[2, -1].tolist()
