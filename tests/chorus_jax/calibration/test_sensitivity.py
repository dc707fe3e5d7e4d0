"""SenCache's norms of a velocity whose derivatives are known."""

import numpy as np

from chorus_jax.calibration.sensitivity import RunPath, sensitivities
from chorus_jax.denoise.state import RunState

STEPS = 5
TIMESTEPS = (1000.0, 900.0, 700.0, 400.0, 100.0)


def velocity(latents, i):
    """3 times the latents minus 2 times the time (from 0 to 1)."""
    return 3.0 * np.asarray(latents) - 2.0 * TIMESTEPS[i] / 1000


def recorded(experts=1):
    """The state of a run, with a record per expert of its steps."""
    latents = np.random.default_rng(0).normal(size=(1, STEPS, 4, 2)).astype(np.float32)
    speed = np.stack([velocity(latents[:, i], i) for i in range(STEPS)], axis=1)
    both, on = RunPath(latents, speed), np.arange(STEPS) >= 3
    keep = lambda wanted: RunPath(*(x * wanted[:, None, None] for x in both))
    parts = (keep(~on), keep(on)) if experts == 2 else (both,)
    return RunState(*(None,) * len(RunState._fields))._replace(caches=parts)


def test_norms_are_those_of_the_derivatives():
    norms = sensitivities(recorded(), velocity, TIMESTEPS)
    np.testing.assert_allclose(norms[0], 3.0, rtol=1e-4)
    np.testing.assert_allclose(norms[1], 2.0, rtol=1e-4)


def test_nothing_is_measured_across_a_second_expert():
    asked = []

    def other(latents, i):
        asked.append(i)
        return velocity(latents, i) * (2.0 if i >= 3 else 1.0)

    norms = sensitivities(recorded(experts=2), other, TIMESTEPS, switch=3)
    assert asked == [1, 2, 4]
    np.testing.assert_allclose(norms[0, :3], 3.0, rtol=1e-4)


def test_two_steps_at_the_same_timestep_are_no_division_by_zero():
    """Timesteps that a solver truncates may be equal."""
    equal = (999.0, 999.0, *TIMESTEPS[2:])
    norms = sensitivities(recorded(), velocity, equal)
    assert np.isfinite(norms).all()
