"""Reuse on LTX-2, with sound: the equalities that hold for every family."""

import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.engine import Cache, Engine, Reuse
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.forward import (
    TRANSFORMER,
    AllTokens,
    BranchReuse,
    Forward,
    Held,
    TextGains,
    TileTokens,
    Transformer,
    evaluate,
)
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import EveryStep, SkipSteps
from chorus_jax.intra_request.taylor import TaylorSeer
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
    joint = AudioVideoGuidance(audio_scale=4.0, joint=2.0, rescale=0.5)
    more = dict(guidance_scale=3.0, shift=1.0, seed=3, joint=joint)
    return Request(prompt, **{**fields, **more, **changes})


@pytest.fixture(scope="module")
def pipeline(ltx2_weights):
    """With small tiles: the usual one would be the whole of so small a video."""
    made = Pipeline.load(ltx2_weights)
    transformer = replace(made.model.sizes.transformer, tile=(1, 2, 2))
    object.__setattr__(made.model.sizes, "transformer", transformer)
    return made


@pytest.fixture(scope="module")
def run(pipeline):
    """A transformer, what it reads of two requests, latents and the geometry."""
    requests = [small(), small(BLUE, guidance_scale=2.0)]
    conditions, _ = pipeline.condition(requests)
    geometry = pipeline.model.geometry(requests[0])
    latents = pipeline.noise(requests, geometry, conditions)
    return pipeline.model.transformer, conditions[TRANSFORMER], latents, geometry


@pytest.fixture(scope="module")
def full(run):
    """A step with all tokens, and what it holds."""
    model, conditions, latents, geometry = run
    whole = AllTokens(geometry.tiling)
    step = jax.jit(lambda x: evaluate(model.forward(conditions, x, AT, None, whole)))
    return step(latents)


AT = jnp.array([2, 3])


def close(one, other, atol=1e-5):
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(x, y, atol=atol)


def with_tiles(latents, geometry, tiles):
    """Latents with patches of some tiles in place of the video."""
    patches = geometry.tiling.tiles(to_patches(latents["video"], geometry.patch))
    active = jnp.take_along_axis(patches, tiles[:, :, None, None], axis=1)
    return {**latents, "video": active}


def test_it_has_the_protocols_of_a_transformer(run):
    model, conditions, latents, _ = run
    assert isinstance(model, Transformer)
    assert isinstance(model.forward(conditions, latents, AT), Forward)


def test_a_region_of_all_tiles_is_a_full_step(run, full):
    model, conditions, latents, geometry = run
    tiling, (velocity, held) = geometry.tiling, full
    assert tiling.count == 6
    tiles = jnp.broadcast_to(jnp.arange(tiling.count), (2, tiling.count))

    @jax.jit
    def regional(latents, keys):
        stale = jax.tree.map(lambda x: 9 + x, keys)
        some = TileTokens(tiling, tiles, stale, jnp.zeros(24))
        forward = model.forward(conditions, latents, AT, None, some)
        return evaluate(forward, Held(stale))

    got, fresh = regional(with_tiles(latents, geometry, tiles), held.keys)
    tokens = tiling.tokens(got["video"])
    whole = from_patches(tokens, geometry.grid, geometry.patch)
    close({**got, "video": whole}, velocity)
    close(fresh.keys, held.keys)


def test_positions_travel_with_the_tiles_and_sound_hears_the_whole(run, full):
    model, conditions, latents, geometry = run
    tiling, (velocity, held) = geometry.tiling, full
    tiles = jnp.array([[4, 1], [0, 5]])
    some = TileTokens(tiling, tiles, held.keys, jnp.zeros(8))
    step = jax.jit(
        lambda x: evaluate(model.forward(unrescaled, x, AT, None, some), held)
    )
    unrescaled = without_rescale(conditions)
    got, _ = step(with_tiles(latents, geometry, tiles))
    whole = AllTokens(tiling)
    want, _ = jax.jit(
        lambda x: evaluate(model.forward(unrescaled, x, AT, None, whole))
    )(latents)
    close(got, with_tiles(want, geometry, tiles))
    assert np.abs(want["video"] - velocity["video"]).max() > 1e-3


def without_rescale(conditions):
    """Of a region the deviation is its own, so a part is not rescaled as the whole."""
    scales = conditions.guidance.scales
    return conditions._replace(
        guidance=conditions.guidance._replace(
            scales=type(scales)(*(x._replace(rescale=None) for x in scales))
        )
    )


def test_gains_of_1_change_nothing_and_others_act_on_the_prompt(run, full):
    model, conditions, latents, _ = run
    rows = model.config.text_limit

    @jax.jit
    def amplified(gain):
        gains = TextGains(jnp.full((2, rows), gain), jnp.ones(2))
        return evaluate(model.forward(conditions, latents, AT, gains))[0]

    close(amplified(jnp.float32(1)), full[0])
    other = amplified(jnp.float32(4))
    for stream, velocity in full[0].items():
        assert np.abs(other[stream] - velocity).max() > 1e-5


def test_branches_of_an_earlier_pass_stand_in_for_it(run):
    model, conditions, latents, _ = run

    @jax.jit
    def both():
        forward = model.forward(conditions, latents, AT)
        stem, count = forward.stem(), len(forward.branch_names)
        rows = len(jax.tree.leaves(stem)[0])
        every = jnp.ones((model.config.depth, count, rows), bool)
        first = BranchReuse(forward.unknown_branches(), every)
        tokens, sides = forward.blocks(stem, reuse=first)
        later = BranchReuse(forward.branches(sides), ~every)
        return forward.blocks(stem)[0], tokens, forward.blocks(stem, reuse=later)[0]

    plain, first, later = both()
    close(first, plain)
    close(later, plain)


def test_pieces_and_caches_that_reuse_nothing_give_the_same_bytes(pipeline):
    [whole] = pipeline(small())
    *_, last = pipeline.stream(small(), every=1)
    [tea] = pipeline(small(step_cache=TeaCache(0.0, (1.0, 0.0), "modulation")))
    for video in (last.videos[0], tea):
        for stream, latents in whole.latents.items():
            np.testing.assert_array_equal(video.latents[stream], latents)
        np.testing.assert_array_equal(video.frames, whole.frames)
        np.testing.assert_array_equal(video.sound.samples, whole.sound.samples)


def test_the_engine_misses_hits_and_repeats(pipeline):
    tiers = (Tier(0.3, 2, 4, active=0.5, key_gain=1.5, output_gain=1.2),)
    skip = SkipSteps((5,))
    policy = Policy(STEPS, tiers, Regions(reach=0, limit=math.inf), cache=skip)
    cache = Cache.in_memory()
    engine = Engine(pipeline, cache, policy)
    miss, again = engine.generate(small()), engine.generate(small())
    hit = engine.generate(small(BLUE, seed=4))
    cache.close()
    assert (miss.ledger.kind, miss.ledger.equivalents) == ("miss", STEPS)
    assert (again.ledger.kind, again.ledger.equivalents) == ("exact", 0)
    np.testing.assert_array_equal(again.video.frames, miss.video.frames)
    sounds = (miss.video.sound.samples, again.video.sound.samples)
    np.testing.assert_array_equal(*sounds)
    assert hit.ledger.kind == "semantic" and hit.ledger.equivalents < STEPS - 1
    assert np.abs(hit.video.sound.samples - sounds[0]).max() > 0


@pytest.mark.slow
def test_caches_of_branches_run_in_hits_with_a_region(pipeline):
    """The region's keys and the attention to words come from computed branches."""
    regions = Regions(reach=0, limit=math.inf, found_by="attention")
    policy = Policy(STEPS, (Tier(0.3, 1, 4, active=0.5),), regions)
    cache, hits = Cache.in_memory(), []
    for step_cache in (EveryStep(), TaylorSeer(interval=1, grain="branches")):
        engine = Engine(pipeline, cache, replace(policy, cache=step_cache))
        engine.generate(small())
        hits.append(engine.generate(small(BLUE, seed=4), Reuse(write=False)))
    cache.close()
    plain, same = hits
    assert plain.ledger.kind == same.ledger.kind == "semantic"
    assert plain.ledger.active == same.ledger.active == 0.5
    assert plain.ledger.equivalents == same.ledger.equivalents
    close(same.video.latents, plain.video.latents, atol=1e-4)


@pytest.mark.slow
def test_token_budgets(pipeline):
    """All in all steps is the plain run; with fewer, given frames stay all the same."""
    every = TokenBudgets(STEPS, (TokenGroup(0.5, STEPS), TokenGroup(0.5, STEPS)))
    some = TokenBudgets(STEPS, (TokenGroup(0.5, STEPS), TokenGroup(0.5, STEPS // 3)))
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    asked = partial(small, inputs=InputMedia(image))
    [plain], [whole], [fewer] = (pipeline(asked(tokens=x)) for x in (None, every, some))
    jax.tree.map(np.testing.assert_array_equal, whole.latents, plain.latents)
    videos = [x.latents["video"] for x in (plain, fewer)]
    np.testing.assert_array_equal(videos[1][0], videos[0][0])
    assert 0 < np.abs(videos[1] - videos[0]).max() < 10
    beside = InputMedia(image, last_image=image)
    with pytest.raises(ValueError, match="not run beside keyframes"):
        pipeline.check(small(inputs=beside, tokens=some))
