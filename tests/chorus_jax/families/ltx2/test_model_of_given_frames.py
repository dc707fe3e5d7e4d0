"""Given frames of LTX-2: against diffusers, and what reuse makes of them."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image

from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.denoise import loop
from chorus_jax.engine import Cache, Engine, Reuse
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.ltx2.encoding import covering
from chorus_jax.families.ltx2.given_tokens import STEP
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe
from chorus_jax.request import Request
from chorus_jax.schedulers.token_shift import TokenShift
from chorus_jax.spatio_temporal import SpatioTemporalGuidance

RED = "a red circle moves left on a gray background"
BLUE = "a blue circle moves left on a gray background"
HEIGHT, WIDTH = 64, 96
MODULE = "diffusers.pipelines.ltx2.pipeline_ltx2_condition"
FOUR = {
    "perturbed": SpatioTemporalGuidance((1,), 1.0),
    "joint": AudioVideoGuidance(audio_scale=7.0, joint=3.0, rescale=0.7),
}


def clip(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)


def small(prompt=RED, **changes):
    fields = dict(frames=17, height=HEIGHT, width=WIDTH, steps=3, solver="euler")
    more = dict(guidance_scale=3.0, negative_prompt="a blue square", seed=7, shift=1.0)
    return Request(prompt, **{**fields, **more, **changes})


class Counting:
    """diffusers' levels, which count the tokens beside the video too."""

    def __init__(self, tokens):
        self.tokens = tokens

    def sigmas(self, steps, tokens, shift=1.0):
        return TokenShift().sigmas(steps, self.tokens, shift)


@pytest.fixture(scope="module")
def theirs(ltx2_pipeline):
    from diffusers.pipelines.ltx2 import LTX2ConditionPipeline

    # It asks for the side once, before it sets it itself.
    ltx2_pipeline.tokenizer.padding_side = "left"
    made = LTX2ConditionPipeline(**ltx2_pipeline.components)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def ours(ltx2_weights):
    return Pipeline.load(ltx2_weights)


# The first image as it is, and of a clip from frame 1 on its two latents beside.
BESIDE = InputMedia(clip(1)[0], keyframes=(Keyframe(clip(9, 2), 1, 0.6),))
CASES = {
    "beside": (BESIDE, [(clip(1), 0, 1.0), (clip(9, 2), 1, 0.6)], FOUR),
    "soft": (
        InputMedia(None, keyframes=(Keyframe(clip(9), 0, 0.3),)),
        [(clip(9), 0, 0.3)],
        {},
    ),
}


def conditions_of(items):
    from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition

    return [
        LTX2VideoCondition(
            frames=[Image.fromarray(x) for x in frames],
            index=index,
            strength=strength,
            crf=0,
        )
        for frames, index, strength in items
    ]


def drawn(noise):
    """What diffusers draws: the video's tokens and those beside it, then the audio."""
    video = np.asarray(noise["video"])
    tokens = [video.reshape(1, -1, video.shape[-1])]
    if "given" in noise:
        tokens.append(np.asarray(noise["given"]))
    draws = [np.concatenate(tokens, axis=1), np.asarray(noise["audio"])]
    return iter(torch.tensor(x) for x in draws)


@pytest.mark.parametrize("case", CASES)
def test_equals_diffusers(case, theirs, ours, monkeypatch):
    inputs, items, guidance = CASES[case]
    request = small(inputs=inputs, **guidance)
    geometry = ours.model.geometry(request)
    noise = loop.noise(jnp.array([7], jnp.uint32), geometry)
    draws = drawn(noise)
    monkeypatch.setattr(f"{MODULE}.randn_tensor", lambda *_, **__: next(draws))
    tokens = ours.model.sizes.token_count(request) + ours.model.sizes.extra(request)
    monkeypatch.setattr(ours.model, "schedule", Counting(tokens))
    monkeypatch.setattr(ours.model, "clean_levels", STEP)
    options = {"spatio_temporal_guidance_blocks": [1]}
    if not guidance:
        options = {"stg_scale": 0.0, "modality_scale": 1.0, "guidance_rescale": 0.0}
        options |= {f"audio_{name}": value for name, value in options.items()}
        options["audio_guidance_scale"] = 3.0
    frames, sound = theirs(
        conditions=conditions_of(items),
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        height=HEIGHT,
        width=WIDTH,
        num_frames=17,
        frame_rate=24.0,
        num_inference_steps=3,
        output_type="np",
        return_dict=False,
        **options,
    )
    [video] = ours(request)
    assert video.frames.shape == frames[0].shape
    assert np.abs(video.frames - 255 * frames[0]).max() <= 1
    assert np.abs(video.sound.samples - sound[0].T.numpy()).max() <= 1e-4


def test_the_makers_levels_are_the_default(ours):
    # Only soft tokens and rescaling tell them from diffusers' (see `test_makers`).
    request = small(inputs=CASES["soft"][0])
    given = lambda: ours.condition([request])[0]["transformer"].given
    np.testing.assert_allclose(given().levels, [1, 0.7])
    numerics = ours.model.numerics
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ours.model, "clean_levels", STEP)
        np.testing.assert_array_equal(given().levels, [1, 1])
        assert ours.model.numerics == f"{numerics} {STEP}"


def test_reuse_with_given_frames(ours):
    """Pieces, misses, repeats and hits, of frames among the video's and beside it."""
    request = small(inputs=BESIDE, **FOUR)
    other = InputMedia(clip(1, 5)[0], keyframes=BESIDE.keyframes)
    [plain] = ours(request)
    *_, last = ours.stream(request, every=1)
    np.testing.assert_array_equal(last.videos[0].frames, plain.frames)
    policy = Policy(3, (Tier(0.3, 1, 2, active=0.5),), Regions(reach=0, limit=math.inf))
    cache = Cache.in_memory()
    engine = Engine(ours, cache, policy)
    miss, again = engine.generate(request), engine.generate(request)
    hit = engine.generate(small(BLUE, inputs=BESIDE, seed=8, **FOUR))
    elsewhere = small(BLUE, inputs=other, seed=9, **FOUR)
    engine.generate(request.changed(seed=6), Reuse(other_inputs=True))
    own = engine.generate(elsewhere, Reuse(other_inputs=True, write=False))
    cache.close()
    np.testing.assert_array_equal(miss.video.frames, plain.frames)
    assert (miss.ledger.kind, again.ledger.kind) == ("miss", "exact")
    np.testing.assert_array_equal(again.video.frames, miss.video.frames)
    assert hit.ledger.kind == "semantic" and hit.ledger.active == 1
    assert recipe(ours, elsewhere) != recipe(ours, request)
    # The image stands in the latents as it was encoded; in those of a hit too, also
    # where its source shows another one.
    assert own.ledger.kind == "semantic"
    for made, asked in ((plain, request), (hit.video, request), (own.video, elsewhere)):
        given = ours.condition([asked])[0]["transformer"].given
        first = np.asarray(given.clean)[0, -18:-12].reshape(2, 3, -1)
        np.testing.assert_array_equal(made.latents["video"][0], first)


def recipe(pipeline, request):
    from chorus_jax.engine.recipes import recipe_of

    return recipe_of(request, pipeline.model, Policy(3, ())).digest


def test_frames_of_other_sizes_cover_the_video():
    frames = clip(2)[:, :48]
    made = np.asarray(covering(Keyframe(frames), 64, 32))
    wide = torch.tensor(frames).permute(0, 3, 1, 2).float()
    wide = torch.nn.functional.interpolate(wide, size=(64, 128), mode="bilinear")
    want = wide[..., 48:80].permute(0, 2, 3, 1).numpy() / 127.5 - 1
    np.testing.assert_allclose(made, want, atol=1e-5)


@pytest.mark.parametrize(
    "keyframe, message",
    [(Keyframe(clip(9), 9), "the video has 17"), (Keyframe(clip(8)), "got 8: cut it")],
)
def test_frames_that_do_not_fit_are_refused(ours, keyframe, message):
    request = small(inputs=InputMedia(None, keyframes=(keyframe,)))
    with pytest.raises(ValueError, match=message):
        ours.model.geometry(request)
