"""Stochastic sampling against diffusers' FlowMatchEulerDiscreteScheduler."""

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.schedulers import Renoise, explicit, named

SIGMAS = (1.0, 0.9937, 0.975, 0.725, 0.4219)


def test_equals_diffusers_with_the_same_noise(monkeypatch):
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.schedulers import scheduling_flow_match_euler_discrete as module

    rng = np.random.default_rng(0)
    draw = lambda count: rng.standard_normal((count, 2, 3, 4)).astype(np.float32)
    noise, velocity, [latents] = draw(5), draw(5), draw(1)
    theirs = FlowMatchEulerDiscreteScheduler(stochastic_sampling=True)
    theirs.set_timesteps(sigmas=list(SIGMAS))
    solver = Renoise(explicit(SIGMAS))
    want, got, state = torch.from_numpy(latents), jnp.asarray(latents), ()
    for i, timestep in enumerate(theirs.timesteps):
        fresh = torch.from_numpy(noise[i])
        drawn = lambda *shape, fresh=fresh, **options: fresh
        monkeypatch.setattr(module, "randn_tensor", drawn)
        speed = torch.from_numpy(velocity[i])
        want = theirs.step(speed, timestep, want).prev_sample
        got, state = solver.step(
            i, got, jnp.asarray(velocity[i]), state, jnp.asarray(noise[i])
        )
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-5)


def test_the_last_step_adds_no_noise():
    solver = named("renoise").spaced(4, 5.0)
    latents, velocity = jnp.ones((2, 3)), jnp.full((2, 3), 0.5)
    out, _ = solver.step(3, latents, velocity, (), jnp.full((2, 3), 9.0))
    clean = 1 - 0.5 * solver.schedule.sigmas[3]
    np.testing.assert_allclose(out, clean, rtol=1e-6)


def test_a_run_without_seeds_is_refused():
    from chorus_jax.denoise import loop
    from chorus_jax.denoise.plan import StepPlan
    from chorus_jax.denoise.program import Program
    from chorus_jax.denoise.state import Inputs
    from chorus_jax.families.forward import Geometry

    shape = (1, 2, 2, 3)
    geometry = Geometry((("video", shape),), (1, 2, 2), (1, 1, 1), (1, 1, 1))
    program = Program(StepPlan.plain(4), Renoise.spaced(4), geometry)
    with pytest.raises(ValueError, match="needs the requests' seeds"):
        loop.start(Inputs({}, {}), jnp.zeros((1, *shape)), program=program)
