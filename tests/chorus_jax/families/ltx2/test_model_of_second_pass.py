"""The second pass of LTX-2 with its upsampler, against diffusers'."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image

from chorus_jax.denoise import loop
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.ltx2.given_tokens import STEP
from chorus_jax.families.ltx2.schedule import SECOND_PASS
from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe
from chorus_jax.request import Request
from convert.__main__ import main

RED = "a red circle moves left on a gray background"
MODULE = "diffusers.pipelines.ltx2.pipeline_ltx2_condition"
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def small(**changes):
    fields = dict(frames=9, height=64, width=64, steps=SECOND_PASS, solver="euler")
    more = dict(shift=1.0, guidance_scale=1.0, seed=7)
    return Request(RED, **{**fields, **more, **changes})


@pytest.fixture(scope="module")
def upsampler():
    from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel

    torch.manual_seed(1)
    made = LTX2LatentUpsamplerModel(4, mid_channels=32, num_blocks_per_stage=1)
    for parameter in made.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made.eval()


@pytest.fixture(scope="module")
def ours(upsampler, ltx2_weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("upsampler")
    upsampler.save_pretrained(folder / "upsampler")
    source, out = str(ltx2_weights.parent / "source"), folder / "converted"
    options = ["--dtype", "float32", "--latent-upsampler", str(folder / "upsampler")]
    assert main(["ltx2", source, str(out), *options]) == 0
    return Pipeline.load(out)


@pytest.fixture(scope="module")
def theirs(ltx2_pipeline):
    from diffusers import FlowMatchEulerDiscreteScheduler
    from diffusers.pipelines.ltx2 import LTX2ConditionPipeline

    # It asks for the side once, before it sets it itself.
    ltx2_pipeline.tokenizer.padding_side = "left"
    parts = {
        **ltx2_pipeline.components,
        "scheduler": FlowMatchEulerDiscreteScheduler(),
    }
    made = LTX2ConditionPipeline(**parts)
    made.set_progress_bar_config(disable=True)
    return made


def raw_video(ours, latents):
    raw = ours.model.vae.denormalise(jnp.asarray(latents))
    return torch.tensor(np.moveaxis(np.asarray(raw), -1, 1))


def test_a_second_pass_equals_diffusers(ours, theirs, upsampler, monkeypatch):
    [first] = ours(small(steps=(1.0, 0.5)))
    inputs = InputMedia(None, keyframes=(Keyframe(IMAGE[None], 0, 0.8),))
    request = small(height=128, width=128, inputs=inputs)
    with torch.no_grad():
        larger = upsampler(raw_video(ours, first.latents["video"][None]))
    enlarged = ours.model.enlarge({x: y[None] for x, y in first.latents.items()})
    want = np.moveaxis(
        theirs._normalize_latents(
            larger, theirs.vae.latents_mean, theirs.vae.latents_std
        ).numpy(),
        1,
        -1,
    )
    np.testing.assert_allclose(enlarged["video"], want, atol=1e-4)
    noise = loop.noise(jnp.array([7], jnp.uint32), ours.model.geometry(request))
    draws = (noise["video"].reshape(1, -1, 4), noise["audio"])
    drawn = iter(torch.tensor(np.asarray(x)) for x in draws)
    monkeypatch.setattr(f"{MODULE}.randn_tensor", lambda *_, **__: next(drawn))
    monkeypatch.setattr(ours.model, "clean_levels", STEP)
    sound = torch.tensor(first.latents["audio"])[None]
    vae = theirs.audio_vae
    sound = sound * vae.latents_std + vae.latents_mean
    bins = sound.shape[-1] // 2
    off = {"stg_scale": 0.0, "modality_scale": 1.0, "guidance_rescale": 0.0}
    off |= {"guidance_scale": 1.0}
    frames, heard = theirs(
        conditions=condition(IMAGE, 0.8),
        prompt=RED,
        height=128,
        width=128,
        num_frames=9,
        frame_rate=24.0,
        sigmas=list(SECOND_PASS),
        num_inference_steps=3,
        latents=larger,
        audio_latents=theirs._unpack_audio_latents(sound, sound.shape[1], bins),
        output_type="np",
        return_dict=False,
        **off,
        **{f"audio_{name}": value for name, value in off.items()},
    )
    again = ours.refine(first, request)
    assert np.abs(again.frames - 255 * frames[0]).max() <= 1
    assert np.abs(again.sound.samples - heard[0].T.numpy()).max() <= 1e-4
    assert np.abs(again.latents["audio"] - first.latents["audio"]).max() > 0.1


def condition(image, strength):
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    picture = [Image.fromarray(image)]
    return [LTX2VideoCondition(frames=picture, index=0, strength=strength, crf=0)]


def test_other_sizes_and_models_are_refused(ours, ltx2_weights):
    [first] = ours(small(steps=(1.0, 0.5)))
    with pytest.raises(ValueError, match="and as many frames"):
        ours.refine(first, small())
    with pytest.raises(ValueError, match="and as many frames"):
        ours.refine(first, small(height=128, width=128, frames=17))
    without = Pipeline.load(ltx2_weights)
    with pytest.raises(ValueError, match="came without a latent upsampler"):
        without.refine(first, small(height=128, width=128))
