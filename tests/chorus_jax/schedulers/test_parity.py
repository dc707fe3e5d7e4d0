"""Tests that every solver equals its scheduler in diffusers."""

import diffusers
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from chorus_jax.schedulers import SOLVERS, explicit
from chorus_jax.schedulers.flow import NEAR_NOISE, add_noise

SHAPE = (2, 3, 2, 4, 5)
WAN_DISTILLED = (1.0, 0.75, 0.5, 0.25)
LTX_DISTILLED = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875)

# Wan's own spacings and stochastic sampling have files of their own.
every = pytest.mark.parametrize("name", ["euler", "unipc", "dpmpp"])


def reference(name, shift):
    flow = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
    if name == "euler":
        return diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    if name == "unipc":
        return diffusers.UniPCMultistepScheduler(flow_shift=shift, **flow)
    return diffusers.DPMSolverMultistepScheduler(flow_shift=shift, **flow)


def draws(count):
    return np.random.default_rng(0).standard_normal((count, *SHAPE), np.float32)


def theirs(scheduler, latents, velocities):
    scheduler.set_begin_index(0)
    latents = torch.from_numpy(latents)
    for timestep, velocity in zip(scheduler.timesteps, velocities, strict=True):
        latents = scheduler.step(torch.from_numpy(velocity), timestep, latents)[0]
    return latents.numpy()


def ours(method, latents, velocities):
    def step(carry, at):
        i, velocity = at
        return method.step(i, carry[0], velocity, carry[1]), None

    steps = method.schedule.steps
    at = jnp.arange(steps - len(velocities), steps), velocities
    latents = jnp.asarray(latents)
    return jax.lax.scan(step, (latents, method.init(latents)), at)[0][0]


def relative_error(ours, theirs):
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


@every
@pytest.mark.parametrize(
    ("steps", "shift"), [(1, 3.0), (2, 5.0), (4, 8.0), (5, 1.0), (50, 3.0), (50, 8.0)]
)
def test_sigmas_timesteps_and_latents(name, steps, shift):
    scheduler, method = reference(name, shift), SOLVERS[name].spaced(steps, shift)
    scheduler.set_timesteps(steps)
    assert method.schedule.sigmas == tuple(scheduler.sigmas.tolist())
    assert method.schedule.timesteps == tuple(scheduler.timesteps.tolist())
    latents, *velocities = draws(steps + 1)
    out = ours(method, latents, np.stack(velocities))
    assert relative_error(out, theirs(scheduler, latents, velocities)) <= 1e-5


@every
def test_schedules_at_many_steps_and_shifts(name):
    for steps in range(1, 101, 3):
        for shift in (0.5, 1.15, 2.22, 6.0, 7.3, 12.0, 17.0):
            scheduler, method = (
                reference(name, shift),
                SOLVERS[name].spaced(steps, shift),
            )
            scheduler.set_timesteps(steps)
            assert method.schedule.sigmas == tuple(scheduler.sigmas.tolist())
            assert method.schedule.timesteps == tuple(scheduler.timesteps.tolist())


@every
@pytest.mark.parametrize("start", [1, 4, 8, 9])
def test_a_start_at_a_later_step_equals_the_rest_of_the_sigmas(name, start):
    scheduler, method = reference(name, 5.0), SOLVERS[name].spaced(10, 5.0)
    scheduler.set_timesteps(10 - start)
    scheduler.sigmas = torch.tensor(method.schedule.sigmas[start:])
    latents, *velocities = draws(11 - start)
    out = ours(method, latents, np.stack(velocities))
    assert relative_error(out, theirs(scheduler, latents, velocities)) <= 1e-5


@every
@pytest.mark.parametrize(
    ("sigmas", "shift"),
    [(WAN_DISTILLED, 5.0), (LTX_DISTILLED, 1.0)],
    ids=["wan", "ltx"],
)
def test_given_sigmas(name, sigmas, shift):
    scheduler, schedule = reference(name, shift), explicit(sigmas, shift)
    if name == "dpmpp":  # It takes no sigmas: hand them over.
        scheduler.set_timesteps(len(sigmas))
        scheduler.sigmas = torch.tensor(schedule.sigmas).clamp(max=NEAR_NOISE)
    else:
        scheduler.set_timesteps(sigmas=np.array(sigmas))
    if name == "euler":
        assert schedule.sigmas == tuple(scheduler.sigmas.tolist())
        assert schedule.timesteps == tuple(scheduler.timesteps.tolist())
    latents, *velocities = draws(len(sigmas) + 1)
    out = ours(SOLVERS[name](schedule), latents, np.stack(velocities))
    assert relative_error(out, theirs(scheduler, latents, velocities)) <= 1e-5


def test_noising():
    scheduler = reference("euler", 3.0)
    scheduler.set_timesteps(4)
    clean, noise = draws(2)
    timesteps = scheduler.timesteps[1:3]
    out = scheduler.scale_noise(torch.tensor(clean), timesteps, torch.tensor(noise))
    sigmas = jnp.asarray(scheduler.sigmas[1:3].numpy())
    mine = add_noise(jnp.asarray(clean), jnp.asarray(noise), sigmas)
    np.testing.assert_allclose(mine, out, atol=1e-6)
