"""Given frames of LTX-Video: against diffusers, and what reuse makes of them."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image

from chorus_jax.denoise import loop
from chorus_jax.engine import Cache, Engine, Reuse
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.ltx import model
from chorus_jax.families.protocols import RunStart
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import SkipSteps
from chorus_jax.media.input_video import InputVideo
from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe
from chorus_jax.request import Request
from tests.chorus_jax.families.ltx.test_model import run

RED = "a red circle moves left on a gray background"
BLUE = "a blue circle moves left on a gray background"
HEIGHT, WIDTH = 64, 96


def clip(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, HEIGHT, WIDTH, 3), np.uint8)


def small(prompt=RED, inputs=None, **changes):
    fields = dict(frames=25, height=HEIGHT, width=WIDTH, steps=4, solver="euler")
    more = dict(guidance_scale=3.0, negative_prompt="blue square", seed=7, fps=25)
    return Request(
        prompt, **{**fields, "shift": 1.0, **more, **changes, "inputs": inputs}
    )


@pytest.fixture(scope="module")
def theirs(ltx_pipeline):
    """diffusers' LTXConditionPipeline, which encodes to the mean."""
    from diffusers import FlowMatchEulerDiscreteScheduler, LTXConditionPipeline
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    parts = {**ltx_pipeline.components, "scheduler": FlowMatchEulerDiscreteScheduler()}
    with pytest.MonkeyPatch.context() as patch:
        sample = DiagonalGaussianDistribution.mode
        patch.setattr(
            DiagonalGaussianDistribution, "sample", lambda self, _=None: sample(self)
        )
        yield LTXConditionPipeline(**parts)


@pytest.fixture(scope="module")
def ours(theirs, convert_ltx, tmp_path_factory):
    return Pipeline.load(convert_ltx(theirs, tmp_path_factory.mktemp("condition")))


CASES = {
    "first image": (InputMedia(clip(1)[0]), [(clip(1), 0, 1.0)]),
    "extension": (
        InputMedia(None, keyframes=(Keyframe(clip(9)),)),
        [(clip(9), 0, 1.0)],
    ),
    "soft": (
        InputMedia(None, keyframes=(Keyframe(clip(9), 0, 0.2),)),
        [(clip(9), 0, 0.2)],
    ),
    "ends": (
        InputMedia(clip(1)[0], clip(1, 1)[0]),
        [(clip(1), 0, 1.0), (clip(1, 1), 24, 1.0)],
    ),
    "clip within": (
        InputMedia(clip(1)[0], keyframes=(Keyframe(clip(17, 2), 8, 0.8),)),
        [(clip(1), 0, 1.0), (clip(17, 2), 8, 0.8)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_diffusers(case, theirs, ours, monkeypatch):
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

    inputs, items = CASES[case]
    request = small(inputs=inputs)
    geometry = ours.model.geometry(request)
    noise = geometry.named(loop.noise(jnp.array([7], jnp.uint32), geometry))
    draws = [np.moveaxis(np.array(noise["video"]), -1, 1)]
    _, _, h, w, _ = noise["video"].shape
    given = np.array(noise.get("given", np.zeros((1, 0, 4))))
    done = 0
    for frames, first, _ in items:
        if first:
            count = min(1 + (len(frames) - 1) // 8, 2)
            rows = given[:, done : done + count * h * w]
            rows = rows.reshape(1, count, h, w, -1)
            draws.append(np.moveaxis(rows, -1, 1))
            done += count * h * w
    drawn = iter(torch.from_numpy(x.copy()) for x in draws)
    module = "diffusers.pipelines.ltx.pipeline_ltx_condition.randn_tensor"
    monkeypatch.setattr(module, lambda *_, **__: next(drawn))
    conditions = [
        LTXVideoCondition(
            image=Image.fromarray(frames[0]) if len(frames) == 1 else None,
            video=[Image.fromarray(x) for x in frames] if len(frames) > 1 else None,
            frame_index=first,
            strength=strength,
        )
        for frames, first, strength in items
    ]
    want = run(
        theirs,
        request,
        conditions=conditions,
        output_type="np",
        image_cond_noise_scale=0.0,
    )
    [video] = ours(request)
    assert video.frames.shape == want.shape
    assert np.abs(video.frames.astype(float) - 255 * want).max() <= 1


def test_a_video_to_begin_from_equals_diffusers(theirs, ours, monkeypatch):
    """Half of the steps, from its latents with noise, beside a given first frame."""
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

    first = clip(1)[0]
    asked = small(inputs=InputMedia(first, video=InputVideo(clip(30, 5), 0.5)))
    geometry = ours.model.geometry(asked)
    noise = np.moveaxis(
        np.array(loop.noise(jnp.array([7], jnp.uint32), geometry)), -1, 1
    )
    module = "diffusers.pipelines.ltx.pipeline_ltx_condition.randn_tensor"
    monkeypatch.setattr(module, lambda *_, **__: torch.from_numpy(noise.copy()))
    latents = np.moveaxis(np.array(ours.model.initial_latents([asked])["video"]), -1, 1)
    want = run(
        theirs,
        asked,
        conditions=[LTXVideoCondition(image=Image.fromarray(first), frame_index=0)],
        latents=torch.from_numpy(latents.copy()),
        denoise_strength=0.5,
        output_type="np",
        image_cond_noise_scale=0.0,
    )
    [video] = ours(asked)
    assert ours.model.solver(asked).schedule.steps == 2
    assert np.abs(video.frames.astype(float) - 255 * want).max() <= 1
    plain = small(inputs=InputMedia(first))
    with pytest.raises(ValueError, match="has 20 frames, but 25 are asked for"):
        short = InputMedia(video=InputVideo(clip(20)))
        ours.check(plain.changed(inputs=short))


def test_given_tokens_stay_and_soft_ones_move(ours):
    hard, soft = (
        small(inputs=InputMedia(None, keyframes=(Keyframe(clip(9), 0, strength),)))
        for strength in (1.0, 0.2)
    )
    for request, moved in ((hard, False), (soft, True)):
        geometry = ours.model.geometry(request)
        noise = loop.noise(jnp.array([7], jnp.uint32), geometry)
        first = ours.model.begin(noise, [request], RunStart({}))
        [video] = ours(request)
        apart = np.abs(video.latents[:2] - first[0, :2])
        assert apart.min() > 0 if moved else apart.max() == 0
        assert np.abs(video.latents[2:] - first[0, 2:]).min() > 0


def test_hits_beside_soft_frames_run_all_tokens(ours):
    """Where they are, a source's latents do not tell its velocity."""
    soft, hard = (
        small(inputs=InputMedia(None, keyframes=(Keyframe(clip(9), 0, strength),)))
        for strength in (0.8, 1.0)
    )
    geometry = ours.model.geometry(soft)
    assert geometry.soft and geometry.region_tiling.count == 1
    geometry = ours.model.geometry(hard)
    assert geometry.given == (0, 1) and geometry.region_tiling == geometry.tiling


def test_watched_embeddings_are_of_generated_tokens(ours):
    """A given frame's does not change: it would halve the change."""
    signals = []
    given = InputMedia(None, keyframes=(Keyframe(clip(9)),))
    for request in (small(), small(inputs=given)):
        conditions, _ = ours.condition([request])
        noise = ours.noise([request], ours.model.geometry(request), conditions)
        transformer = ours.model.transformers["transformer"]
        i = jnp.array([2])
        forward = transformer.forward(conditions["transformer"], noise, i)
        signals.append(np.asarray(forward.signal("embedding")))
    np.testing.assert_allclose(*signals, rtol=1e-6)


def test_given_frames_are_encoded_once_for_a_tenant(ours, monkeypatch):
    made, inputs = [], CASES["ends"][0]
    counted = lambda vae, request, item: made.append(item) or jnp.zeros((1, 1, 2, 2, 4))
    monkeypatch.setattr(model, "encoded", counted)
    request = small(inputs=inputs)
    for tenant in ("one", "one", "other"):
        ours.model.given_latents(request, tenant)
    assert made == [0, 1, 0, 1]
    ours.model.forget_prompts("one")
    assert {tenant for tenant, _ in ours.model.encoded.known} == {"other"}
    ours.model.forget_prompts("other")


def test_reuse_with_given_frames(ours):
    """Pieces, a step cache without skips, misses, repeats and hits."""
    ends, other = (CASES["ends"][0], InputMedia(clip(1, 5)[0], clip(1, 1)[0]))
    request = small(inputs=ends)
    [plain] = ours(request)
    *_, last = ours.stream(request.changed(step_cache=SkipSteps(())), every=1)
    np.testing.assert_array_equal(last.videos[0].frames, plain.frames)
    tiers = (Tier(0.3, 1, 3, active=0.5),)
    cache = Cache.in_memory()
    engine = Engine(ours, cache, Policy(4, tiers, Regions(reach=0, limit=math.inf)))
    miss, again = engine.generate(request), engine.generate(request)
    hit = engine.generate(small(BLUE, ends, seed=8))
    elsewhere = engine.generate(small(BLUE, other, seed=9), Reuse(write=False))
    engine.generate(request.changed(seed=6), Reuse(other_inputs=True))
    asked = Reuse(other_inputs=True, write=False)
    own = engine.generate(small(BLUE, other, seed=9), asked)
    cache.close()
    np.testing.assert_array_equal(miss.video.frames, plain.frames)
    assert (miss.ledger.kind, again.ledger.kind) == ("miss", "exact")
    np.testing.assert_array_equal(again.video.frames, miss.video.frames)
    assert hit.ledger.kind == "semantic" and hit.ledger.active == 1
    assert elsewhere.ledger.kind == "miss"  # other images are another recipe
    # The first image stands in the hit's latents as it was encoded, also where its
    # source shows another one.
    assert own.ledger.kind == "semantic"
    for made, full in ((hit, miss), (own, elsewhere)):
        video, first = (x.video.latents["video"] for x in (made, full))
        np.testing.assert_array_equal(video[:1], first[:1])


def test_a_batch_is_its_requests(ours):
    one, two = small(inputs=CASES["ends"][0]), small(BLUE, CASES["ends"][0], seed=8)
    for together, alone in zip(ours(one, two), (*ours(one), *ours(two))):
        apart = together.frames.astype(int) - alone.frames
        assert np.abs(apart).max() <= 1
