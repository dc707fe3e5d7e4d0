"""Few-step releases: their noise levels, and runs by the rules of their own code."""

from importlib import import_module

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise.noise import of_step
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.wan.experts import experts
from chorus_jax.request import Request
from chorus_jax.schedulers import Renoise
from tests.chorus_jax.families.wan.conftest import their_noise


def levels(steps, shift):
    """The sigmas of the training schedule of these models, and their timesteps:
    FlowMatchScheduler(shift, sigma_min=0, extra_one_step=True) of CausVid and
    Self-Forcing, FlowMatchEulerDiscreteScheduler(shift) of FastVideo."""
    sigmas = np.linspace(1, 0, steps + 1)[:-1]
    sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
    return sigmas, sigmas * 1000


def looked_up(timestep, shift):
    """pred_noise_to_pred_video and add_noise: the level of the nearest timestep."""
    sigmas, timesteps = levels(1000, shift)
    return sigmas[np.abs(timesteps - timestep).argmin()]


def warped(listed, shift):
    """Self-Forcing, `warp_denoising_step`: places in the shifted schedule."""
    _, timesteps = levels(1000, shift)
    return [timesteps[1000 - step] if step else 0.0 for step in listed]


def euler_linspace(steps, shift):
    """Wan2.2-Lightning, wan/utils: get_sampling_sigmas."""
    sigmas = np.linspace(1, 0, steps + 1)[:steps]
    return shift * sigmas / (1 + (shift - 1) * sigmas) * 1000


@pytest.mark.parametrize(
    "name, timesteps, shift, solver",
    [
        ("fastwan21_1p3b", [1000, 757, 522], 8, "renoise"),
        ("fastwan21_14b_480p", [1000, 757, 522], 8, "renoise"),
        ("fastwan22_ti2v_5b", [1000, 757, 522], 5, "renoise"),
        ("causvid_1p3b", [1000, 757, 522], 8, "renoise"),
        ("self_forcing_1p3b", warped([1000, 750, 500, 250], 5), 5, "renoise"),
        ("wan21_14b_4step", warped([1000, 750, 500, 250], 5), 5, "euler"),
        ("wan21_i2v_480p_4step", warped([1000, 750, 500, 250], 5), 5, "euler"),
        ("wan22_t2v_a14b_4step", euler_linspace(4, 5), 5, "euler"),
        ("wan22_i2v_a14b_4step", [1000, 937.5, 833.333, 625], 5, "euler"),
    ],
)
def test_steps_are_those_of_the_release(name, timesteps, shift, solver):
    request = import_module(f"configs.{name}").get_config()
    schedule = request.make_solver().schedule
    assert (request.solver, request.guided) == (solver, False)
    np.testing.assert_allclose(schedule.timesteps, timesteps, rtol=1e-6)
    sigmas = [looked_up(timestep, shift) for timestep in timesteps]
    np.testing.assert_allclose(schedule.sigmas, [*sigmas, 0], rtol=1e-6)


@pytest.mark.parametrize("boundary", [0.875, 0.9])
def test_two_steps_in_each_expert(boundary):
    request = import_module("configs.wan22_t2v_a14b_4step").get_config()
    names = experts(request.make_solver().schedule.timesteps, boundary)
    assert names == ("transformer",) * 2 + ("transformer_2",) * 2


def test_timesteps_are_told_as_they_are():
    request = Request("a", steps=(1000, 757, 522, 0), shift=8.0, solver="renoise")
    schedule = request.make_solver().schedule
    assert schedule.timesteps == (1000, 757, 522) and schedule.sigmas[1] != 0.757
    assert isinstance(request.make_solver(), Renoise)
    for steps in ((1000, 1000), (500, 757), (1001, 5)):
        with pytest.raises(ValueError, match="must fall from one|are from 1000 to 0"):
            Request("a", steps=steps)


@pytest.fixture(scope="module")
def pipeline(weights):
    return Pipeline.load(weights)


def test_a_run_equals_fastvideos_rule(pipeline, diffusers_pipeline):
    """DmdDenoisingStage, with the same noise: the clean video that each step predicts
    is noised to the next listed timestep."""
    import torch

    listed, shift = (1000, 757, 522), 8.0
    request = Request(
        *("a red circle moves left", "", 9, 64, 96, listed, "renoise", shift, 1.0, 7)
    )
    geometry = pipeline.model.geometry(request)
    theirs, latents = diffusers_pipeline, their_noise(pipeline.model, request).double()
    words, _ = theirs.encode_prompt(
        request.prompt, None, False, max_sequence_length=512
    )
    seeds = jnp.array([request.seed], jnp.uint32)
    for i, timestep in enumerate(listed):
        with torch.no_grad():
            told = torch.tensor([float(timestep)])
            speed = theirs.transformer(latents.float(), told, words).sample.double()
        clean = latents - looked_up(timestep, shift) * speed
        if i + 1 == len(listed):
            break
        fresh = np.array(of_step(seeds, jnp.array([i]), geometry), np.float64)
        fresh = torch.from_numpy(fresh.transpose(0, 4, 1, 2, 3))
        sigma = looked_up(listed[i + 1], shift)
        latents = (1 - sigma) * clean + sigma * fresh
    config = theirs.vae.config
    spread = lambda x: torch.tensor(x).view(1, -1, 1, 1, 1)
    raw = clean.float() * spread(config.latents_std) + spread(config.latents_mean)
    with torch.no_grad():
        video = theirs.vae.decode(raw).sample[0].clamp(-1, 1)
    want = 255 * (video.permute(1, 2, 3, 0).numpy() + 1) / 2
    [made] = pipeline(request)
    assert np.abs(made.frames.astype(float) - want).max() <= 0.51
