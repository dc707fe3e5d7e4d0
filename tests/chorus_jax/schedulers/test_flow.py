"""Tests of schedules, the shift, and the conversions between velocity and latents."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.schedulers import SOLVERS, Schedule, explicit, named, shift_sigmas
from chorus_jax.schedulers.flow import add_noise, log_snr, to_clean

LTX_DISTILLED = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875)

shifts = st.floats(0.2, 20.0)
levels = st.floats(0.0, 1.0)
solvers = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)


@solvers
@given(steps=st.integers(1, 100), shift=shifts)
def test_spaced_sigmas_fall_from_noise_to_zero(solver, steps, shift):
    schedule = solver.spaced(steps, shift).schedule
    sigmas, times = np.array(schedule.sigmas), np.array(schedule.timesteps)
    assert schedule.steps == steps == len(sigmas) - 1
    assert (np.diff(sigmas) < 0).all() and sigmas[-1] == 0
    assert sigmas[0] == pytest.approx(1, abs=6e-3)
    assert (np.diff(times) <= 0).all()
    np.testing.assert_array_less(abs(times - 1000 * sigmas[:-1]), 1.0001)


@given(levels, shifts, shifts)
def test_shifts_compose_by_multiplication(sigma, first, second):
    both = shift_sigmas(shift_sigmas(sigma, first), second)
    assert both == pytest.approx(shift_sigmas(sigma, first * second), abs=1e-12)


@given(levels, shifts)
def test_shift_keeps_the_ends_and_adds_to_the_log_snr(sigma, shift):
    shifted = shift_sigmas(sigma, shift)
    assert 0 <= shifted <= 1 + 1e-15
    assert shift_sigmas(0.0, shift) == 0 and shift_sigmas(1.0, 4.0) == 1
    assert shift_sigmas(sigma, 1.0) == sigma
    if 0.001 < sigma < 0.999:
        assert log_snr(shifted) == pytest.approx(log_snr(sigma) - np.log(shift))


def test_explicit_sigmas_of_distilled_models():
    wan = explicit((1.0, 0.75, 0.5, 0.25), shift=5.0)
    np.testing.assert_allclose(wan.sigmas, (1, 0.9375, 5 / 6, 0.625, 0), rtol=1e-7)
    np.testing.assert_allclose(wan.timesteps, (1000, 937.5, 2500 / 3, 625), rtol=1e-7)
    ltx = explicit(LTX_DISTILLED)
    assert ltx.sigmas == pytest.approx((*LTX_DISTILLED, 0.0), abs=1e-7)
    assert ltx == explicit((*LTX_DISTILLED, 0.0))


def test_schedules_are_hashable_and_compare_by_value():
    one, same = explicit((1.0, 0.5)), explicit((1.0, 0.5))
    assert one == same and hash(one) == hash(same)
    assert len({SOLVERS["unipc"](one), SOLVERS["unipc"](same)}) == 1


@pytest.mark.parametrize(
    ("sigmas", "timesteps", "message"),
    [
        ((1.0, 0.5), (1000.0, 500.0), "2 sigmas and 2 timesteps"),
        ((0.0,), (), "1 sigmas and 0 timesteps"),
        ((1.2, 0.0), (1000.0,), "got 1.2 first"),
        ((1.0, 0.1), (1000.0,), "0.1 last"),
        ((1.0, 0.5, 0.5, 0.0), (1000.0, 500.0, 500.0), r"sigmas\[1\]=0.5 and then 0.5"),
        ((1.0, float("nan"), 0.0), (1000.0, 500.0), r"sigmas\[0\]=1.0 and then nan"),
        ((1.0, 0.0), (1500.0,), r"timesteps\[0\]=1500.0"),
    ],
)
def test_a_wrong_schedule_is_refused(sigmas, timesteps, message):
    with pytest.raises(ValueError, match=message):
        Schedule(sigmas, timesteps)


@pytest.mark.parametrize("sigmas", [(), (0.0,), (0.5, 0.8), (-0.5,), (1.0, -0.1)])
def test_wrong_explicit_sigmas_are_refused(sigmas):
    with pytest.raises(ValueError):
        explicit(sigmas)


@solvers
def test_no_steps_and_wrong_shifts_are_refused(solver):
    with pytest.raises(ValueError, match="at least one step"):
        solver.spaced(0)
    for shift in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"shift={shift}"):
            solver.spaced(4, shift)


def test_an_unknown_solver_lists_the_known():
    assert named("unipc") is SOLVERS["unipc"]
    with pytest.raises(ValueError, match="'heun'; choose from euler, unipc, dpmpp"):
        named("heun")


@pytest.mark.parametrize("sigma", [0.25, np.float32([0.25, 1.0])], ids=["one", "each"])
def test_noised_latents_and_their_velocity_give_the_clean_ones(sigma):
    rng = np.random.default_rng(0)
    clean, noise = jnp.asarray(rng.standard_normal((2, 2, 3, 4, 1)), jnp.float32)
    sigma = sigma if isinstance(sigma, float) else jnp.asarray(sigma)
    latents = add_noise(clean, noise, sigma)
    velocity = noise - clean
    np.testing.assert_allclose(to_clean(latents, velocity, sigma), clean, atol=1e-6)
    np.testing.assert_allclose(latents[0], 0.75 * clean[0] + 0.25 * noise[0], atol=1e-6)
