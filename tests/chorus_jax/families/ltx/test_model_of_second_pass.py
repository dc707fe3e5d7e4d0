"""The latent upsampler of LTX-Video against diffusers', and the second pass with it."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch

from chorus_jax.checkpoints import Card
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.request import Request
from convert.__main__ import main

RED = "a red circle moves left on a gray background"


def small(**changes):
    fields = dict(frames=9, height=64, width=96, steps=(1.0, 0.7), solver="euler")
    return Request(RED, **{**fields, "shift": 1.0, "seed": 7, **changes})


@pytest.fixture(scope="module")
def theirs():
    from diffusers.pipelines.ltx import LTXLatentUpsamplerModel

    torch.manual_seed(1)
    made = LTXLatentUpsamplerModel(4, mid_channels=32, num_blocks_per_stage=1)
    for parameter in made.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
    return made.eval()


@pytest.fixture(scope="module")
def ours(theirs, ltx_pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("upsampler")
    ltx_pipeline.save_pretrained(folder / "source")
    theirs.save_pretrained(folder / "upsampler")
    source, out = str(folder / "source"), folder / "converted"
    options = ["--dtype", "float32", "--latent-upsampler", str(folder / "upsampler")]
    assert main(["ltx", source, str(out), *options, "--verify"]) == 0
    assert "latent_upsampler" in Card.read(out).parts
    return Pipeline.load(out)


def test_equals_diffusers(theirs, ours, ltx_pipeline):
    from diffusers import LTXLatentUpsamplePipeline

    rng, vae = np.random.default_rng(0), ltx_pipeline.vae
    latents = rng.standard_normal((1, 2, 2, 3, 4)).astype(np.float32)
    pipeline = LTXLatentUpsamplePipeline(vae, theirs)
    normal = torch.from_numpy(np.moveaxis(latents, -1, 1).copy())
    raw = ours.model.vae.denormalise(jnp.asarray(latents))
    raw = torch.from_numpy(np.moveaxis(np.asarray(raw), -1, 1).copy())
    with torch.no_grad():
        want = pipeline._normalize_latents(
            theirs(raw), vae.latents_mean, vae.latents_std
        )
        want = pipeline.adain_filter_latent(want, normal, 1.0)
    got = ours.model.enlarge(latents)["video"]
    assert got.shape == (1, 2, 4, 6, 4)
    np.testing.assert_allclose(got, np.moveaxis(want.numpy(), 1, -1), atol=1e-4)


def test_a_second_pass_from_pure_noise_is_the_plain_run(ours):
    [first] = ours(small())
    larger = small(height=128, width=192)
    [plain] = ours(larger)
    again = ours.refine(first, larger)
    np.testing.assert_array_equal(again.frames, plain.frames)


def test_a_second_pass_begins_at_its_first_level(ours):
    [first] = ours(small())
    larger = small(height=128, width=192, steps=(0.001,))
    [enlarged] = ours.model.enlarge(jnp.asarray(first.latents)[None])["video"]
    again = ours.refine(first, larger)
    apart = np.abs(again.latents - enlarged).max()
    assert 0 < apart < 0.02 * np.abs(enlarged).max()


def test_other_sizes_and_models_are_refused(ours, ltx_weights):
    [first] = ours(small())
    with pytest.raises(ValueError, match="ask for twice the height and width"):
        ours.refine(first, small())
    without = Pipeline.load(ltx_weights)
    with pytest.raises(ValueError, match="came without a latent upsampler"):
        without.refine(first, small(height=128, width=192))
