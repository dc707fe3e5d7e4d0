"""Video-to-video: whole runs against diffusers' pipeline, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.media.input_video import InputVideo
from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request
from tests.chorus_jax.families.wan.conftest import their_noise


def clip(seed, frames=9, height=64, width=96):
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (frames, height, width, 3), np.uint8)


def small(video=None, strength=0.7, **changes):
    inputs = InputMedia(video=InputVideo(clip(0) if video is None else video, strength))
    fields = {"frames": 9, "height": 64, "width": 96, "steps": 5, "seed": 7}
    fields |= {"guidance_scale": 3.0, "inputs": inputs} | changes
    return Request("a red circle moves left", **fields)


@pytest.fixture(scope="module")
def pipeline(weights):
    return Pipeline.load(weights)


@pytest.fixture(scope="module")
def theirs(diffusers_pipeline):
    from diffusers import WanVideoToVideoPipeline

    names = ("tokenizer", "text_encoder", "transformer", "vae", "scheduler")
    parts = {name: diffusers_pipeline.components[name] for name in names}
    pipeline = WanVideoToVideoPipeline(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def frames_of(theirs, model, request, monkeypatch):
    from diffusers.pipelines.wan import pipeline_wan_video2video as module

    noise = their_noise(model, request)
    monkeypatch.setattr(module, "randn_tensor", lambda *shape, **kind: noise)
    video = request.inputs.video
    return theirs(
        video=[Image.fromarray(frame) for frame in video.frames[: request.frames]],
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        height=request.height,
        width=request.width,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        strength=video.strength,
        output_type="np",
    ).frames[0]


@pytest.mark.parametrize("steps", [4, 5, 50])
@pytest.mark.parametrize("strength", [0.29, 0.7, 0.8, 1.0])
def test_as_many_steps_as_in_diffusers(steps, strength, theirs):
    theirs.scheduler.set_timesteps(steps)
    timesteps, count = theirs.get_timesteps(
        steps, theirs.scheduler.timesteps, strength, "cpu"
    )
    schedule = small(strength=strength, steps=steps).make_solver().schedule
    assert schedule.steps == count
    np.testing.assert_allclose(schedule.timesteps, timesteps, atol=1)


@pytest.mark.parametrize(
    "video", [clip(0), clip(1, 11, 80, 50)], ids=["its size", "another size, longer"]
)
def test_equals_diffusers(video, pipeline, theirs, monkeypatch):
    request = small(video, negative_prompt="gray background")
    want = frames_of(theirs, pipeline.model, request, monkeypatch)
    [made] = pipeline(request)
    assert made.frames.shape == want.shape
    assert np.abs(made.frames.astype(float) - 255 * want).max() <= 0.51


def test_recipes_tell_videos_and_strengths_apart(pipeline):
    policy = Policy(3, ())
    requests = [small(), small(clip(0)), small(clip(2)), small(strength=0.65)]
    first, same, other, weaker = (
        recipe_of(request, pipeline.model, policy).digest for request in requests
    )
    assert first == same and len({first, other, weaker}) == 3


def test_what_cannot_be_begun_from_is_refused(pipeline):
    with pytest.raises(ValueError, match="strength 0.1 of 5 steps leaves none to run"):
        small(strength=0.1)
    with pytest.raises(ValueError, match="has 8 frames, but 9 are asked for"):
        pipeline(small(clip(0, 8)))
    both = InputMedia(clip(0)[0], video=InputVideo(clip(0)))
    with pytest.raises(ValueError, match="an image or a video to begin from, not both"):
        pipeline(replace(small(), inputs=both))
