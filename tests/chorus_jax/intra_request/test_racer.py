"""RACER: steps move to where forecasts disagree, and their number stays."""

from dataclasses import asdict

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.intra_request.history import History
from chorus_jax.intra_request.racer import RACER
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.schedulers import Euler
from tests.chorus_jax.intra_request.fake import run

MANY = 1e6
STEPS = 24
SCHEDULE = Euler.spaced(STEPS).schedule


def test_without_doubt_it_is_spectrum():
    cache = RACER(first=3, depth=4, threshold=MANY, caution=0.0)
    fields = {x: y for x, y in asdict(cache).items() if x in asdict(Spectrum())}
    ours, _, work = run(cache, 0, STEPS, rows=2)
    theirs, _, same = run(Spectrum(**fields), 0, STEPS, rows=2)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_array_equal(work, same)


@pytest.mark.parametrize("seed", range(3))
def test_any_doubts_leave_the_number_of_steps(seed):
    """Rows are requests, each with doubts of its own."""
    cache, rows = RACER(first=2), 16
    doubts = np.random.default_rng(seed).random((STEPS, rows)) < 0.3
    owed, counts = jnp.zeros(rows, bool), np.zeros(rows, int)
    for i in range(STEPS):
        at, known = jnp.full(rows, i), jnp.full(rows, i > 0)
        computed, owed = cache.decide(at, STEPS, known, jnp.array(doubts[i]), owed)
        counts += np.asarray(computed)
    assert not owed.any()
    assert counts.tolist() == [sum(cache.computes(STEPS))] * rows


def test_a_step_in_doubt_is_computed_and_the_next_scheduled_one_is_not():
    cache = RACER(window=4.0, growth=0.0, first=1)  # 0, 4, 8, 12, ...
    owed, computed = jnp.zeros(1, bool), []
    for i in range(14):
        doubt = jnp.array([i in (2, 3)])  # the second while the first is owed
        on, owed = cache.decide(jnp.array([i]), 14, jnp.array([i > 0]), doubt, owed)
        computed += [i] * bool(on[0])
    assert computed == [0, 2, 8, 12]


def past_of(*values):
    """Three rows of values at steps 9, 8, 7."""
    steps = jnp.tile(jnp.array([9, 8, 7]), (3, 1))
    return History(tuple(jnp.asarray(x, jnp.float32) for x in values), steps)


def test_forecasts_in_doubt_are_shrunk():
    """A constant row, a line, and a bend, which the fit and the line see apart."""
    past = past_of([[1.0], [3.0], [4.0]], [[1.0], [2.0], [1.0]], [[1.0], [1.0], [1.0]])
    at, shape = jnp.full(3, 11), dict(depth=3, degree=2, ridge=1e-5)
    bold, careful = (RACER(caution=x, **shape) for x in (0.0, 1.0))
    forecasts = [
        np.ravel(past.combined(x.trusted(past, at, SCHEDULE)[0]))
        for x in (bold, careful)
    ]
    doubt = np.asarray(bold.trusted(past, at, SCHEDULE)[1])
    assert doubt[2] > 5 * doubt[:2].max()
    np.testing.assert_allclose(forecasts[0][:2], forecasts[1][:2], rtol=2e-2)
    assert 4.0 < forecasts[1][2] < 0.95 * forecasts[0][2]


@pytest.mark.parametrize("field", ["threshold", "caution"])
def test_impossible_settings_are_refused(field):
    with pytest.raises(ValueError, match="threshold and a caution of 0 or more"):
        RACER(**{field: -0.1})
