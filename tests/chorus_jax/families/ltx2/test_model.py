"""A whole LTX-2 pipeline against diffusers' LTX2Pipeline, and its conversion."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from chorus_jax import checkpoints
from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.checkpoints import Card
from chorus_jax.denoise import loop
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.preparing import guidance_of
from chorus_jax.families.ltx2.sizes import PARTS, LTX2Sizes
from chorus_jax.families.ltx2.variants import defaults_of
from chorus_jax.families.protocols import SoundModel, VideoModel
from chorus_jax.families.registry import family_of
from chorus_jax.guidance_schedule import GuidanceSchedule
from chorus_jax.media.input_video import InputVideo
from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe
from chorus_jax.request import Request
from chorus_jax.schedulers.token_shift import TokenShift
from chorus_jax.spatio_temporal import SpatioTemporalGuidance
from convert.families import FAMILIES
from convert.families import family_of as family_of_source

PROMPT = "a red circle moves left on a gray background"
NEGATIVE = "a blue square"
VIDEO = InputVideo(np.zeros((17, 64, 96, 3), np.uint8), 1.0)
SOFT = InputMedia(None, keyframes=(Keyframe(VIDEO.frames, 0, 0.5),))
SCHEDULE = GuidanceSchedule((1.0,), (3.0,), (0.0,), (0.0,), ((),))


def asked(prompt=PROMPT, **changes):
    fields = dict(frames=17, height=64, width=96, steps=3, solver="euler", shift=1.0)
    more = dict(guidance_scale=3.0, negative_prompt=NEGATIVE, seed=3)
    return Request(prompt, **{**fields, **more, **changes})


@pytest.fixture(scope="module")
def pipeline(ltx2_weights):
    return Pipeline.load(ltx2_weights)


FOUR = {
    "perturbed": SpatioTemporalGuidance((1,), 1.0),
    "joint": AudioVideoGuidance(audio_scale=7.0, joint=3.0, rescale=0.7),
}


def theirs(source, request, noise, **options):
    """Frames in 0 to 255 and sound of diffusers' pipeline from this noise."""
    # Video is turned to theirs only if it is given packed.
    video = torch.tensor(np.asarray(noise["video"])).flatten(1, 3)
    mean, std = source.audio_vae.latents_mean, source.audio_vae.latents_std
    audio = torch.tensor(np.asarray(noise["audio"])) * std + mean
    out = source(
        request.prompt,
        negative_prompt=request.negative_prompt,
        height=request.height,
        width=request.width,
        num_frames=request.frames,
        frame_rate=24.0,
        num_inference_steps=request.step_count,
        latents=video,
        audio_latents=audio,
        output_type="np",
        return_dict=False,
        **options,
    )
    return 255 * out[0][0], out[1][0].T.numpy()


def compared(pipeline, source, request, rate, **options):
    """Frames and sound of both from the same noise, which must be close."""
    geometry = pipeline.model.geometry(request)
    noise = loop.noise(jnp.array([request.seed], jnp.uint32), geometry)
    frames, sound = theirs(source, request, noise, **options)
    [video] = pipeline(request)
    assert video.frames.shape == frames.shape == (17, 64, 96, 3)
    assert frames.std() > 1 and sound.std() > 1e-4
    assert np.abs(video.frames - frames).max() <= 1
    assert video.sound.rate == rate and video.sound.samples.shape == sound.shape
    assert np.abs(video.sound.samples - sound).max() <= 1e-4


def test_frames_and_sound_equal_diffusers(pipeline, ltx2_pipeline, monkeypatch):
    # diffusers counts the tokens; the makers' pipelines do not.
    monkeypatch.setattr(pipeline.model, "schedule", TokenShift())
    blocks = {"spatio_temporal_guidance_blocks": [1]}
    compared(pipeline, ltx2_pipeline, asked(**FOUR), 16000, **blocks)


@pytest.mark.slow
def test_frames_and_sound_equal_diffusers_without_guidance(
    pipeline, ltx2_pipeline, monkeypatch
):
    monkeypatch.setattr(pipeline.model, "schedule", TokenShift())
    off = dict(stg_scale=0.0, modality_scale=1.0, guidance_scale=1.0)
    off |= {f"audio_{name}": value for name, value in off.items()}
    off |= dict(guidance_rescale=0.0, audio_guidance_rescale=0.0)
    request = asked(guidance_scale=1.0)
    compared(pipeline, ltx2_pipeline, request, 16000, **off)


@pytest.mark.slow
def test_frames_and_sound_of_23_equal_diffusers(ltx23_weights, ltx23_pipeline):
    loaded = Pipeline.load(ltx23_weights)
    loaded.model.schedule = TokenShift()
    blocks = {"spatio_temporal_guidance_blocks": [1]}
    compared(loaded, ltx23_pipeline, asked(**FOUR), 48000, **blocks)


def test_it_is_a_model_with_sound(pipeline):
    assert isinstance(pipeline.model, VideoModel)
    assert isinstance(pipeline.model, SoundModel)
    geometry = pipeline.model.geometry(asked())
    assert dict(geometry.streams) == {"video": (3, 2, 3, 4), "audio": (18, 8)}
    assert pipeline.model.geometry(asked(fps=48)).streams[1] == ("audio", (9, 8))


def test_prompts_are_stripped_and_otherwise_left(pipeline):
    """As the makers do; Wan's would repair them."""
    texts = ("a  “red”\ncircle &amp; left", "blue\t\tsquare")
    request = asked(f" {texts[0]} ", negative_prompt=f"\n{texts[1]}\n")
    assert pipeline.model.tokens([request]).texts == texts


def test_levels_do_not_count_tokens_unless_told(pipeline, monkeypatch):
    levels = lambda width: pipeline.model.solver(asked(width=width)).schedule.sigmas
    assert levels(64) == levels(640)
    monkeypatch.setattr(pipeline.model, "schedule", TokenShift())
    assert levels(64)[1] < levels(640)[1]


def test_the_folder_is_recognised_and_described(ltx2_weights):
    source = ltx2_weights.parent / "source"
    assert family_of_source(source) is FAMILIES["ltx2"]
    card = Card.read(ltx2_weights)
    assert card.family == "ltx2" and set(card.parts) == set(PARTS)
    family = family_of(ltx2_weights)
    lines = dict(family.lines(ltx2_weights))
    assert "not Apache" in lines["licence"] and "LTX2DiT" in lines["transformer"]
    found = family.defaults(ltx2_weights)
    assert found.fps == 24 and "not recognised" in found.source


def test_published_models_have_their_makers_settings(ltx2_weights):
    sizes = LTX2Sizes.read(ltx2_weights)
    # The other parts are not looked at.
    object.__setattr__(sizes, "transformer", LTX2Config.b19())
    dev = defaults_of(sizes, Card.read(ltx2_weights).scheduler)
    assert "19B dev" in dev.source and dev.request.joint.audio_scale == 7
    object.__setattr__(sizes, "transformer", LTX2Config.b22())
    later = defaults_of(sizes, Card.read(ltx2_weights).scheduler)
    assert "2.3 22B dev" in later.source and later.request.steps == 30
    distilled = defaults_of(sizes, {"use_dynamic_shifting": False})
    assert distilled.request.step_count == 8 and not distilled.request.guided


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"guidance_scale_low": 2.0}, "two experts"),
        ({"perturbed": SpatioTemporalGuidance((2,))}, "layers 0 to 1"),
        ({"frames": 16}, "frames must be 1"),
        ({"frames": 1, "fps": 60}, "too short for any sound"),
        ({"inputs": InputMedia(video=VIDEO)}, "does not begin from a video"),
        ({"inputs": SOFT, "solver": "res_2s"}, "not run with given frames .* 0.5"),
        ({"guidance_schedule": SCHEDULE}, "no guidance by noise level"),
        ({"step_cache": "tea:variant=ltx_091,threshold=0.1"}, "for LTX-Video 0.9.1"),
    ],
)
def test_what_is_not_run_is_refused(pipeline, changes, message):
    with pytest.raises(ValueError, match=message):
        pipeline.model.geometry(asked(**changes))


def test_fingerprints_are_those_of_the_arrays(pipeline):
    model = pipeline.model
    for name, part in model.parts.items():
        assert checkpoints.digested(part) == model.fingerprints[name]


def test_a_freed_text_encoder_leaves_what_it_read(ltx2_weights):
    loaded = Pipeline.load(ltx2_weights, keep_text_encoder=False)
    before, _ = loaded.condition([asked()])
    assert loaded.model.parts["text_encoder"] is None
    again, _ = loaded.condition([asked()])
    for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(again)):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="was freed"):
        loaded.condition([asked("a gray circle")])


def test_an_audio_scale_below_1_is_no_guidance():
    quiet = asked(joint=AudioVideoGuidance(audio_scale=0.5))
    video, audio = guidance_of([quiet, asked()], 2).scales
    assert video.text.tolist() == [3.0, 3.0] and audio.text.tolist() == [1.0, 3.0]


def test_guidance_of_both_streams_is_of_the_recipe(pipeline):
    from chorus_jax.engine.recipes import recipe_of
    from chorus_jax.inter_request.policy.policy import Policy

    digest = lambda request: recipe_of(request, pipeline.model, Policy(3, ())).digest
    plain = digest(asked())
    other = digest(asked(joint=AudioVideoGuidance(joint=2.0)))
    assert plain != other
    assert other != digest(asked(joint=AudioVideoGuidance(audio_joint=2.0)))
    assert plain == digest(replace(asked(), prompt="another"))
