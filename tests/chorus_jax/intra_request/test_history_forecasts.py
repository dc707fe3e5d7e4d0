"""Forecasts as weights of computed values: what each is exact for."""

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.intra_request.foca import FoCa
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.schedulers import Euler
from tests.chorus_jax.intra_request.fake import run

SCHEDULE = Euler.spaced(50).schedule
PAST = np.array([20, 15, 10])
ROWS = jnp.array([PAST, [20, 15, -1], [20, -1, -1]])


def forecast(cache, function, now=23):
    """What the weights of three rows give for a function of the step; rows with fewer
    values know less of it."""
    weights = cache.weights(ROWS[:, : cache.depth], jnp.full(3, now), SCHEDULE)
    values = function(PAST[: cache.depth].astype(float))
    return np.asarray(weights) @ values


CACHES = [TaylorSeer(order=2), FoCa(), Spectrum(mix=0.0, depth=3)]


@pytest.mark.parametrize("cache", CACHES, ids=lambda cache: type(cache).__name__)
def test_a_line_is_forecast_and_one_value_is_taken_over(cache):
    line = lambda step: 3.0 * step + 2.0
    want = [line(23.0), line(23.0), line(20.0)]
    np.testing.assert_allclose(forecast(cache, line), want, rtol=1e-5)


def test_order_0_takes_the_last_value_over():
    past = jnp.array([[20]])
    weights = TaylorSeer(order=0).weights(past, jnp.array([23]), SCHEDULE)
    assert weights.tolist() == [[1.0]]


def test_differences_over_uneven_steps_are_those_of_taylorseer():
    """D_1 is over the last gap, D_2 over the same gap."""
    past, values = jnp.array([[9, 5, 4]]), np.array([7.0, 2.0, 1.0])
    slope, before = (7 - 2) / 4, (2 - 1) / 1
    want = 7 + 2 * slope + 2**2 / 2 * (slope - before) / 4
    weights = TaylorSeer(order=2).weights(past, jnp.array([11]), SCHEDULE)
    np.testing.assert_allclose(np.asarray(weights)[0] @ values, want, rtol=1e-6)


def test_hermite_polynomials_go_forward():
    """s^1 H_1(s x) = 2 s^2 x: a rising value rises, by half of Taylor's at s = .5; the
    authors' first release let it fall."""
    cache = HiCache(order=1, contraction=0.5)
    line = lambda step: 3.0 * step
    expected = [60 + 0.5 * 3 * 3, 60 + 0.5 * 3 * 3, 60]
    np.testing.assert_allclose(forecast(cache, line), expected, rtol=1e-5)
    # s^2 H_2(s x) = s^2 (4 s^2 x^2 - 2)
    cache = HiCache(order=2, contraction=0.5)
    square = lambda step: step**2
    first, second = (400 - 225) / 5, ((400 - 225) / 5 - (225 - 100) / 5) / 5
    want = 400 + 0.5 * 3 * first + 0.25 * (9 - 2) / 2 * second
    np.testing.assert_allclose(forecast(cache, square)[0], want, rtol=1e-5)


def test_foca_is_damped_beyond_its_horizon():
    line = lambda step: 3.0 * step
    near, far = (forecast(FoCa(horizon=3.0), line, now)[0] for now in (23, 26))
    np.testing.assert_allclose([near, far], [69.0, 60 + 9 / 2], rtol=1e-5)


def test_spectrum_fits_least_squares_with_a_ridge():
    cache = Spectrum(mix=1.0, degree=2, ridge=0.5, depth=3)
    values = np.array([4.0, -1.0, 2.0])
    t = 2 * PAST / 50 - 1
    design = np.stack([np.ones(3), t, 2 * t**2 - 1], axis=1)
    gram = design.T @ design + 0.5 * np.eye(3)
    fitted = np.linalg.solve(gram, design.T @ values)
    now = 2 * 23 / 50 - 1
    want = fitted @ [1, now, 2 * now**2 - 1]
    weights = cache.weights(ROWS[:1], jnp.array([23]), SCHEDULE)
    np.testing.assert_allclose(np.asarray(weights)[0] @ values, want, rtol=1e-4)


def test_published_schedules():
    """TaylorSeer's on Wan 2.1 and FLUX, Spectrum's 14 of 50 steps."""
    steps = lambda cache: np.flatnonzero(cache.computes(50)).tolist()
    assert steps(TaylorSeer()) == list(range(0, 50, 5))
    assert steps(TaylorSeer(first=3, interval=6))[:5] == [0, 1, 2, 8, 14]
    assert len(steps(Spectrum())) == 14
    assert steps(HiCache(last=2))[-3:] == [46, 48, 49]


def test_velocities_between_are_extrapolated():
    """The fake pass gives 11 i."""
    velocities, held, work = run(TaylorSeer(interval=2), 0, 6)
    np.testing.assert_allclose(velocities[:, 0], [0, 0, 22, 33, 44, 55], rtol=1e-6)
    assert work[:, 0].tolist() == [1, 0, 1, 0, 1, 0]
    assert held[:, 0].tolist() == [1, 1, 3, 3, 5, 5]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TaylorSeer(interval=0), "interval of 1 step or more"),
        (lambda: TaylorSeer(order=-1), "order of a series is 0 to 8"),
        (lambda: TaylorSeer(grain="keys"), "residual, branches, got 'keys'"),
        (lambda: HiCache(contraction=1.0), "contraction between 0 and 1"),
        (lambda: FoCa(horizon=0.0), "a horizon is above 0"),
        (lambda: Spectrum(window=0.5), "a window of 1 step or more"),
        (lambda: Spectrum(ridge=0.0), "a ridge above 0"),
    ],
)
def test_impossible_caches_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
