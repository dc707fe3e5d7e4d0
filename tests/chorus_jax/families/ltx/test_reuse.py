"""Reuse on LTX-Video: the equalities that hold for every family, and TeaCache."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.devices.sharding import make_mesh
from chorus_jax.engine import Cache, Engine
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.forward import (
    TRANSFORMER,
    AllTokens,
    BranchReuse,
    Held,
    TextGains,
    TileTokens,
    evaluate,
)
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import SkipSteps
from chorus_jax.intra_request.tea import TeaCache
from chorus_jax.media.inputs import InputMedia
from chorus_jax.nets.tokens import from_patches, to_patches
from chorus_jax.request import Request
from chorus_jax.token_budgets import TokenBudgets, TokenGroup

STEPS = 6
RED = "a red circle moves left on a gray background"
BLUE = "a blue circle moves left on a gray background"


def small(prompt=RED, **changes):
    fields = dict(frames=17, height=64, width=128, steps=STEPS, solver="euler")
    more = dict(guidance_scale=3.0, shift=1.0, seed=3)
    return Request(prompt, **{**fields, **more, **changes})


def with_tiles(pipeline):
    """The usual tile would be the whole of so small a video."""
    model = pipeline.model
    transformer = replace(model.sizes.transformer, tile=(1, 2, 2))
    model.sizes = replace(model.sizes, transformer=transformer)
    return pipeline


@pytest.fixture(scope="module")
def pipeline(ltx_weights):
    return with_tiles(Pipeline.load(ltx_weights))


@pytest.fixture(scope="module")
def run(pipeline):
    """A transformer, what it reads of two requests, latents and the geometry."""
    requests = [small(), small(BLUE, guidance_scale=2.0)]
    conditions, _ = pipeline.condition(requests)
    geometry = pipeline.model.geometry(requests[0])
    latents = pipeline.noise(requests, geometry, conditions)
    return pipeline.model.transformer, conditions[TRANSFORMER], latents, geometry


def test_a_region_of_all_tiles_is_a_full_step(run):
    model, conditions, latents, geometry = run
    tiling, i = geometry.tiling, jnp.array([2, 3])
    assert tiling.count == 6

    @jax.jit
    def both():
        full = evaluate(model.forward(conditions, latents, i, None, AllTokens(tiling)))
        tiles = jnp.broadcast_to(jnp.arange(tiling.count), (2, tiling.count))
        stale = jax.tree.map(lambda x: 9 + x, full[1].keys)
        some = TileTokens(tiling, tiles, stale, jnp.zeros(24))
        patches = tiling.tiles(to_patches(latents, geometry.patch))
        forward = model.forward(conditions, patches, i, None, some)
        return full, evaluate(forward, Held(stale))

    (velocity, held), (patches, fresh) = both()
    tokens = tiling.tokens(patches)
    whole = from_patches(tokens, geometry.grid, geometry.patch)
    np.testing.assert_allclose(whole, velocity, atol=1e-5)
    for one, other in zip(jax.tree.leaves(held.keys), jax.tree.leaves(fresh.keys)):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_positions_travel_with_the_tiles(run):
    model, conditions, latents, geometry = run
    tiling, i = geometry.tiling, jnp.array([2, 3])
    velocity, held = evaluate(
        model.forward(conditions, latents, i, None, AllTokens(tiling))
    )
    tiles = jnp.array([[4, 1], [0, 5]])
    patches = tiling.tiles(to_patches(latents, geometry.patch))
    some = jnp.take_along_axis(patches, tiles[:, :, None, None], axis=1)
    forward = model.forward(
        conditions, some, i, None, TileTokens(tiling, tiles, held.keys, jnp.zeros(8))
    )
    want = tiling.tiles(to_patches(velocity, geometry.patch))
    want = jnp.take_along_axis(want, tiles[:, :, None, None], axis=1)
    np.testing.assert_allclose(evaluate(forward, held)[0], want, atol=1e-5)


def test_gains_of_1_change_nothing_and_others_act_on_the_prompt(run):
    model, conditions, latents, _ = run
    i, rows = jnp.array([2, 3]), conditions.context.bias.shape[1]
    plain, one, two = (
        evaluate(model.forward(conditions, latents, i, gains))[0]
        for gains in (
            None,
            TextGains(jnp.ones((2, rows)), jnp.ones(2)),
            TextGains(jnp.full((2, rows), 2.0), jnp.ones(2)),
        )
    )
    np.testing.assert_allclose(one, plain, atol=1e-6)
    assert np.abs(two - plain).max() > 1e-4


def test_branches_of_an_earlier_pass_stand_in_for_it(run):
    model, conditions, latents, _ = run
    forward = model.forward(conditions, latents, jnp.array([2, 3]))
    stem, count = forward.stem(), len(forward.branch_names)
    every = jnp.ones((model.config.depth, count, 4), bool)
    first = BranchReuse(forward.unknown_branches(), every)
    tokens, sides = forward.blocks(stem, reuse=first)
    plain, _ = forward.blocks(stem)
    np.testing.assert_allclose(tokens, plain, atol=1e-6)
    later = BranchReuse(forward.branches(sides), ~every)
    again, _ = forward.blocks(stem, reuse=later)
    np.testing.assert_allclose(again, plain, atol=1e-6)


def test_pieces_give_the_same_bytes_as_one_call(pipeline):
    [whole] = pipeline(small())
    *_, last = pipeline.stream(small(), every=1)
    np.testing.assert_array_equal(last.videos[0].latents, whole.latents)
    np.testing.assert_array_equal(last.videos[0].frames, whole.frames)


def test_teacache_with_threshold_0_is_the_plain_run(pipeline):
    [plain], [tea] = (
        pipeline(small(step_cache=cache))
        for cache in (None, TeaCache(0.0, (1.0, 0.0), "modulation"))
    )
    np.testing.assert_array_equal(tea.latents, plain.latents)


def test_teacache_watches_the_first_layers_input(run):
    model, conditions, latents, _ = run
    cache = TeaCache.published("ltx_091", 0.05)
    assert (cache.signal, cache.first, cache.last) == ("modulation", 1, 1)
    signal = model.forward(conditions, latents, jnp.array([2, 3])).signal("modulation")
    other = model.forward(conditions, latents + 1, jnp.array([2, 3]))
    assert signal.shape == (4, 24, model.config.width)
    assert np.abs(signal - other.signal("modulation")).max() > 0.1
    with pytest.raises(ValueError, match="embedding, modulation, got 'residual'"):
        other.signal("residual")
    with pytest.raises(ValueError, match="not published with retention"):
        TeaCache.published("ltx_091", 0.05, retention=True)


def test_a_step_cache_skips(pipeline):
    [plain], [skipped] = (
        pipeline(small(step_cache=cache)) for cache in (None, SkipSteps((2, 4)))
    )
    assert np.abs(plain.latents - skipped.latents).max() > 0


def test_the_engine_misses_hits_and_repeats(pipeline):
    tiers = (Tier(0.3, 2, 4, active=0.5, key_gain=1.5, output_gain=1.2),)
    policy = Policy(STEPS, tiers, Regions(reach=0, limit=math.inf))
    cache = Cache.in_memory()
    engine = Engine(pipeline, cache, policy)
    miss, again = engine.generate(small()), engine.generate(small())
    hit = engine.generate(small(BLUE, seed=4))
    cache.close()
    [plain] = pipeline(small())
    assert (miss.ledger.kind, miss.ledger.equivalents) == ("miss", STEPS)
    np.testing.assert_array_equal(miss.video.frames, plain.frames)
    assert (again.ledger.kind, again.ledger.equivalents) == ("exact", 0)
    np.testing.assert_array_equal(again.video.frames, miss.video.frames)
    assert hit.ledger.kind == "semantic" and hit.ledger.equivalents < STEPS


def test_a_mesh_changes_nothing(pipeline, ltx_weights):
    requests = (small(), small(BLUE, seed=4))
    mesh = make_mesh(data=2, context=2, tensor=2)
    spread = with_tiles(Pipeline.load(ltx_weights, mesh=mesh))
    for one, other in zip(pipeline(*requests), spread(*requests)):
        np.testing.assert_allclose(one.latents, other.latents, atol=1e-4)
        assert np.abs(one.frames.astype(int) - other.frames).max() <= 1


def test_token_budgets(pipeline):
    """All in all steps is the plain run; with fewer, given frames stay all the same."""
    every = TokenBudgets(STEPS, (TokenGroup(0.5, STEPS), TokenGroup(0.5, STEPS)))
    some = TokenBudgets(STEPS, (TokenGroup(0.5, STEPS), TokenGroup(0.5, STEPS // 3)))
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    asked = partial(small, inputs=InputMedia(image))
    [plain], [whole], [fewer] = (pipeline(asked(tokens=x)) for x in (None, every, some))
    jax.tree.map(np.testing.assert_array_equal, whole.latents, plain.latents)
    videos = [x.latents for x in (plain, fewer)]
    np.testing.assert_array_equal(videos[1][0], videos[0][0])
    assert 0 < np.abs(videos[1] - videos[0]).max() < 10
    beside = InputMedia(image, last_image=image)
    with pytest.raises(ValueError, match="not run beside keyframes"):
        pipeline.check(small(inputs=beside, tokens=some))
