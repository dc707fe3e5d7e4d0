"""The sampler res_2s: in closed form, and against the makers' loop where installed."""

import importlib.util
import math
import sys
import types
from dataclasses import dataclass
from importlib.machinery import ModuleSpec

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.schedulers import Res2S, explicit
from chorus_jax.schedulers.res2s import paired

SIGMAS = (1.0, 0.85, 0.6, 0.2)
SHAPE = (1, 6, 4)


def test_levels_of_all_evaluations():
    levels = paired((1.0, 0.5))
    np.testing.assert_allclose(levels, [1, 0.5**0.5, 0.5, 0.00055**0.5, 0.0011])
    assert len(paired(SIGMAS)) == 2 * len(SIGMAS) + 1


def run(solver, estimate, latents, noises, first=0):
    state = solver.init(latents)
    for i in range(first, solver.schedule.steps):
        sigma = solver.schedule.sigmas[i]
        velocity = (latents - estimate(latents, sigma)) / sigma
        latents, state = solver.step(
            i, latents, velocity, state, jnp.asarray(noises[i])
        )
    return latents


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    latents, target, *noises = rng.standard_normal((11, *SHAPE)).astype(np.float32)
    return jnp.asarray(latents), jnp.asarray(target), noises


@pytest.mark.parametrize("first", [0, 1, 4])
def test_a_constant_estimate_is_reached(drawn, first):
    latents, target, noises = drawn
    solver = Res2S(explicit(paired(SIGMAS)))
    got = run(solver, lambda *_: target, latents, noises, first)
    np.testing.assert_allclose(got, target, atol=1e-5)


def test_the_variance_of_noise_is_kept(drawn):
    """With an estimate of 0 the latents stay noise of each level."""
    solver, rng = Res2S(explicit(paired(SIGMAS))), np.random.default_rng(1)
    latents = jnp.asarray(rng.standard_normal((1, 200, 200)), jnp.float32)
    state = solver.init(latents)
    for i in range(solver.schedule.steps - 1):
        noise = jnp.asarray(rng.standard_normal(latents.shape), jnp.float32)
        velocity = latents / solver.schedule.sigmas[i]
        latents, state = solver.step(i, latents, velocity, state, noise)
        assert abs(float(latents.std()) / solver.schedule.sigmas[i + 1] - 1) < 0.02


def test_equals_the_makers(drawn, monkeypatch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("ltx_core")
    if importlib.util.find_spec("ltx_pipelines") is None:
        pytest.skip("needs ltx-pipelines")
    if importlib.util.find_spec("torchaudio") is None:
        empty = types.ModuleType("torchaudio")
        empty.__spec__ = ModuleSpec("torchaudio", None)
        monkeypatch.setitem(sys.modules, "torchaudio", empty)
    from ltx_core.components.diffusion_steps import Res2sDiffusionStep
    from ltx_pipelines.utils.samplers import res2s_audio_video_denoising_loop

    latents, target, noises = drawn

    @dataclass(frozen=True)
    class State:
        latent: object
        denoise_mask: object
        clean_latent: object

    def state():
        own = torch.from_numpy(np.array(latents))
        return State(own, torch.ones(*SHAPE[:2], 1), torch.zeros(SHAPE))

    bend = torch.from_numpy(np.array(target))

    def denoised(video_state, audio_state, sigmas, step_index):
        level = float(sigmas[step_index])
        estimate = bend * math.cos(level) + 0.3 * torch.tanh(video_state.latent)
        return estimate, estimate.clone()

    # Two streams and two generators draw: both streams get the noise of the step.
    draws = iter(torch.from_numpy(x).double() for x in noises for _ in range(2))
    normed = lambda x: (x - x.mean()) / x.std()
    video, _ = res2s_audio_video_denoising_loop(
        torch.tensor([*SIGMAS, 0.0]),
        state(),
        state(),
        Res2sDiffusionStep(),
        denoised,
        new_noise_fn=lambda *_: normed(next(draws)),
        model_dtype=torch.float32,
    )
    estimate = lambda x, level: target * math.cos(level) + 0.3 * jnp.tanh(x)
    got = run(Res2S(explicit(paired(SIGMAS))), estimate, latents, noises)
    np.testing.assert_allclose(got, video.latent.numpy(), atol=2e-5)
