"""Reuse on the variants of Wan: the equalities that hold for every one, and hits."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise.budgeted import where_moving
from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.engine import Cache, Denoised, Engine, Reuse
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.forward import (
    AllTokens,
    BranchReuse,
    Held,
    TextGains,
    TileTokens,
    evaluate,
)
from chorus_jax.families.protocols import RunStart
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.experts import HIGH, LOW
from chorus_jax.families.wan.model import WanModel
from chorus_jax.families.wan.parts import CHOICES, IMAGE
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request.tea import TeaCache
from chorus_jax.media.input_video import InputVideo
from chorus_jax.media.inputs import InputMedia
from chorus_jax.nets.clip_image import CLIPImageConfig
from chorus_jax.nets.t5 import T5Encoder
from chorus_jax.nets.tokens import from_patches, to_patches
from chorus_jax.request import Request
from chorus_jax.text.cleaning import clean
from chorus_jax.text.prompts import Tokenizer
from chorus_jax.token_budgets import TokenBudgets, TokenGroup
from tests.chorus_jax.conftest import random_part, tiny_configs

STEPS = 4
RED, BLUE = "a red circle moves left", "a blue circle moves left"
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), np.uint8)
TOWER = CLIPImageConfig(18, 3, 2, 20, side=12, patch=4, dtype="float32")
INPUTS = {
    "flf2v": InputMedia(PIXELS[0], PIXELS[1]),
    "i2v_a14b": InputMedia(PIXELS[0]),
    "ti2v": InputMedia(PIXELS[0]),
    "v2v": InputMedia(video=InputVideo(PIXELS, 0.8)),
    "renoise": None,
}
# Sizes of the transformer, besides the tiny ones.
SIZES = {
    "flf2v": {"in_channels": 12, "image_width": 18, "image_positions": 20},
    "i2v_a14b": {"in_channels": 12},
}


def small(variant, prompt=RED, **changes):
    fields = dict(frames=9, height=32, width=48, steps=STEPS, solver="euler")
    more = dict(guidance_scale=3.0, shift=1.0, seed=3, inputs=INPUTS[variant])
    if variant == "renoise":
        more |= dict(steps=(1000, 900, 757, 522), solver=variant, shift=8.0)
    if variant == "v2v":
        more |= dict(steps=STEPS + 1)
    return Request(prompt, **{**fields, **more, **changes})


@pytest.fixture(scope="module")
def model_of(weights):
    """A function: a model of a variant with tiny random weights."""
    tokenizer, made = Tokenizer.load(weights / "tokenizer", clean=clean), {}
    configs = tiny_configs()
    shared = {
        "vae": random_part(WanVAE, configs["vae"]),
        "text_encoder": random_part(T5Encoder, configs["text_encoder"]),
    }

    def model(variant):
        if variant in made:
            return made[variant]
        config = replace(configs[HIGH], tile=(1, 2, 2), **SIZES.get(variant, {}))
        parts = {HIGH: random_part(WanDiT, config), **shared}
        if variant == "i2v_a14b":
            parts[LOW] = jax.tree.map(lambda x: 1.1 * x, parts[HIGH])
        if variant == "flf2v":
            parts[IMAGE] = random_part(CHOICES[IMAGE][0][0], TOWER)
        boundary = 0.3 if variant == "i2v_a14b" else None
        made[variant] = WanModel(
            *(parts, tokenizer), boundary=boundary, expand_timesteps=variant == "ti2v"
        )
        return made[variant]

    return model


@pytest.mark.parametrize("variant", ["flf2v", "i2v_a14b", "ti2v"])
def test_passes_that_reuse_nothing_are_the_plain_pass(variant, model_of):
    """A region of all tiles, branches that are all computed, gains of 1."""
    model = model_of(variant)
    pipeline, request = Pipeline(model), small(variant)
    conditions, _ = pipeline.condition([request])
    geometry = model.geometry(request)
    latents = pipeline.noise([request], geometry, conditions)
    net, given = model.transformers[HIGH], conditions[HIGH]
    tiling, i = geometry.tiling, jnp.array([2])
    assert tiling.count == 18

    @jax.jit
    def passes(net, given, latents):
        plain = net.forward(given, latents, i)
        velocity, held = evaluate(
            net.forward(given, latents, i, None, AllTokens(tiling))
        )
        stale = jax.tree.map(lambda x: 9 + x, held.keys)
        tiles = jnp.arange(tiling.count)[None]
        some = TileTokens(tiling, tiles, stale, jnp.zeros(tiling.count * tiling.size))
        patches = tiling.tiles(to_patches(latents, geometry.patch))
        region, fresh = evaluate(
            net.forward(given, patches, i, None, some), Held(stale)
        )
        every = (net.config.depth, len(plain.branch_names), 2)
        reuse = BranchReuse(plain.unknown_branches(), jnp.ones(every, bool))
        computed, _ = plain.blocks(plain.stem(), reuse=reuse)
        gains = TextGains(jnp.ones((1, given.context.bias.shape[1])), jnp.ones(1))
        gained = evaluate(net.forward(given, latents, i, gains))[0]
        return velocity, held, region, fresh, plain.head(computed), gained

    velocity, held, region, fresh, computed, gained = passes(net, given, latents)
    whole = from_patches(tiling.tokens(region), geometry.grid, geometry.patch)
    for other in (whole, computed, gained):
        np.testing.assert_allclose(other, velocity, atol=2e-5)
    for one, other in zip(jax.tree.leaves(held.keys), jax.tree.leaves(fresh.keys)):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize("variant", ["ti2v", "v2v", "renoise"])
def test_misses_hits_and_repeats(variant, model_of):
    """A hit keeps a given frame to the bit; a repeat is the same video."""
    pipeline = Pipeline(model_of(variant))
    tiers = (Tier(0.0, 1, 3, active=0.5),)
    regions = Regions(reach=0, limit=math.inf)
    policy = Policy(STEPS, tiers, regions)
    cache = Cache.in_memory()
    engine = Engine(pipeline, cache, policy)
    miss = engine.generate(small(variant))
    again = engine.generate(small(variant))
    hit = engine.generate(small(variant, BLUE, seed=4))
    cache.close()
    tea = TeaCache(0.0, (1.0,))
    [plain], [skipping] = (
        pipeline(replace(small(variant), step_cache=cache)) for cache in (None, tea)
    )
    assert (miss.ledger.kind, miss.ledger.equivalents) == ("miss", STEPS)
    np.testing.assert_array_equal(miss.video.frames, plain.frames)
    np.testing.assert_array_equal(skipping.latents, plain.latents)
    assert again.ledger.kind == "exact"
    np.testing.assert_array_equal(again.video.frames, miss.video.frames)
    assert hit.ledger.kind == "semantic" and hit.ledger.equivalents < STEPS - 1
    if variant == "ti2v":
        first = pipeline.model.begin(
            jnp.zeros((1, 3, 8, 12, 4)), [small(variant)], RunStart({})
        )[0]
        for video in (plain, hit.video):
            np.testing.assert_array_equal(video.latents[0], first[0])


def test_frames_that_are_given_are_no_region(model_of):
    """What no step changes does not differ, whatever the network says there."""
    pipeline, events = Pipeline(model_of("ti2v")), []
    tiers = (Tier(0.0, 1, 3, active=0.5),)
    policy = Policy(STEPS, tiers, Regions(reach=0, limit=math.inf))
    cache = Cache.in_memory()
    engine = Engine(pipeline, cache, policy)
    engine.generate(small("ti2v"))
    engine.generate(small("ti2v", BLUE, seed=4), observer=events.append)
    cache.close()
    [chosen] = [event.chosen for event in events if isinstance(event, Denoised)]
    scores = np.asarray(chosen.scores).reshape(1, 3, -1)  # tiles of one frame each
    assert not scores[:, 0].any() and scores[:, 1:].all()
    assert np.asarray(chosen.tiles).min() >= scores.shape[2]


def test_given_frames_are_run_once_with_token_budgets(model_of):
    """Their velocity counts as 0, so that it does not change."""
    pipeline, request = Pipeline(model_of("ti2v")), small("ti2v")
    conditions, _ = pipeline.condition([request])
    latents = pipeline.noise([request], pipeline.model.geometry(request), conditions)
    net, i = pipeline.model.transformers[HIGH], jnp.array([1])
    forward = net.forward(conditions[HIGH], latents, i)
    still = np.asarray(where_moving(jnp.ones_like(latents), forward.moves()))
    assert not still[:, 0].any() and still[:, 1:].all()
    budgets = TokenBudgets(STEPS, (TokenGroup(0.5, STEPS), TokenGroup(0.5, 2)))
    geometry = pipeline.model.geometry(replace(request, tokens=budgets))
    tiles, given = geometry.tiling.count, geometry.given_tiles
    assert given == tuple(range(tiles // 3))  # of three frames the first
    plan = StepPlan.plain(STEPS, budgets=budgets)
    assert equivalents(plan, tiles, given) < equivalents(plan, tiles)
    [plain], [fewer] = pipeline(request), pipeline(replace(request, tokens=budgets))
    np.testing.assert_array_equal(fewer.latents[0], plain.latents[0])
    assert 0 < np.abs(fewer.latents - plain.latents).max() < 10


def test_another_image_is_a_miss_unless_asked(model_of):
    """A hit shows its own image, whatever its source was made of."""
    pipeline = Pipeline(model_of("ti2v"))
    tiers, regions = (Tier(0.0, 1, 3, active=0.5),), Regions(reach=0, limit=math.inf)
    policy = Policy(STEPS, tiers, regions)
    cache = Cache.in_memory()
    engine = Engine(pipeline, cache, policy)
    elsewhere = small("ti2v", BLUE, seed=4, inputs=InputMedia(PIXELS[5]))
    asked = Reuse(other_inputs=True)
    engine.generate(small("ti2v"), asked)
    miss = engine.generate(elsewhere, Reuse(write=False))
    hit = engine.generate(elsewhere, replace(asked, write=False))
    again = engine.generate(small("ti2v"), Reuse(write=False))
    cache.close()
    assert miss.ledger.kind == "miss" and hit.ledger.kind == "semantic"
    assert again.ledger.kind == "exact"
    first = pipeline.model.begin(
        jnp.zeros((1, 3, 8, 12, 4)), [elsewhere], RunStart({})
    )[0]
    np.testing.assert_array_equal(hit.video.latents[0], first[0])


def test_encoded_images_are_remembered_by_tenant(model_of):
    model = model_of("ti2v")
    noise, requests = jnp.zeros((1, 3, 8, 12, 4)), [small("ti2v")]
    model.forget_prompts()
    first = model.begin(noise, requests, RunStart({}, tenant="one"))
    assert len(model.encoded.known) == 1
    np.testing.assert_array_equal(
        model.begin(noise, requests, RunStart({}, tenant="one")), first
    )
    model.begin(noise, requests, RunStart({}, tenant="other"))
    model.begin(
        noise, [small("ti2v", inputs=InputMedia(PIXELS[2]))], RunStart({}, tenant="one")
    )
    assert len(model.encoded.known) == 3
    model.forget_prompts("one")
    assert [tenant for tenant, _ in model.encoded.known] == ["other"]
