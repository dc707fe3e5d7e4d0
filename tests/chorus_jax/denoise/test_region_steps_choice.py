"""The choice of a region, and when all tokens are run instead."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.intra_request import SkipSteps
from chorus_jax.nets import kernel_attention
from chorus_jax.nets.chunked_attention import chunked
from chorus_jax.nets.tokens import Tiling
from chorus_jax.schedulers import SOLVERS
from tests.chorus_jax.denoise.tiny import (
    CONFIG,
    GEOMETRY,
    GRID,
    SHAPE,
    STEPS,
    TILE,
    at,
    conditions,
    earlier,
    hit,
    region,
    together,
    velocity,
)

TILES = GEOMETRY.tiling.count


def staged(first, last, where=None, **more):
    return StepPlan.staged(STEPS, first, last, where, **more)


def test_the_region_is_where_the_velocities_disagree(model):
    _, source = earlier(model, 1, 3)
    target = conditions(model, seed=1)
    own = velocity(model, target, source.start, at(1))
    apart = own.at[:, 1, 4:, :4].add(9.0)
    source = source._replace(velocity=apart)
    ours = hit(model, target, source, staged(1, 3, region(1)))
    assert np.asarray(ours.region.chosen.tiles).tolist() == [[6]]
    assert np.asarray(ours.region.chosen.scores).argmax() == 6


# The others space the same rules in another way.
@pytest.mark.parametrize("name", ["euler", "unipc", "renoise", "res_2s"])
def test_videos_that_differ_beyond_the_region_are_run_whole(model, name):
    solver = SOLVERS[name].spaced(STEPS, 3.0)
    more = {"opening": 2}
    _, source = earlier(model, 1, 4, solver=solver)
    target, few = conditions(model, solver, seed=1), region(3, limit=0.0)
    ours = hit(model, target, source, staged(1, 4, few, **more), solver=solver)
    whole = hit(model, target, source, staged(1, 4, **more), solver=solver)
    assert ours.region.chosen.all_tokens and ours.region.chosen.beyond > 0
    np.testing.assert_allclose(ours.latents, whole.latents, rtol=1e-5, atol=1e-5)
    assert ours.work.tolist() == whole.work.tolist() == [STEPS - 1]
    assert equivalents(staged(1, 4, few, **more), TILES) < STEPS - 1


def test_skipped_steps_too_are_those_of_the_plan_without_a_region(model):
    _, source = earlier(model, 1, 5)
    target, cache = conditions(model, seed=1), SkipSteps((3,))
    few = staged(1, 5, region(3, limit=0.0), cache=cache)
    ours = hit(model, target, source, few)
    whole = hit(model, target, source, staged(1, 5, cache=cache))
    np.testing.assert_allclose(ours.latents, whole.latents, rtol=1e-5, atol=1e-5)
    assert ours.work.tolist() == whole.work.tolist() == [STEPS - 2]
    assert ours.work[0] > equivalents(few, TILES)


def test_videos_that_do_not_differ_beyond_the_region_keep_to_it(model):
    _, source = earlier(model, 1, 4)
    target = conditions(model, seed=1)
    ours = hit(model, target, source, staged(1, 4, region(3, limit=1e6)))
    alone = hit(model, target, source, staged(1, 4, region(3)))
    assert not ours.region.chosen.all_tokens and 0 < ours.region.chosen.beyond < 1e6
    np.testing.assert_allclose(ours.latents, alone.latents, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(ours.work, alone.work)
    # One that the caller gives is enough, whatever the velocities say.
    mask = jnp.ones((1, *SHAPE[:3], 1))
    plan = staged(1, 4, region(3, limit=0.0))
    assert not hit(model, target, source, plan, mask=mask).region.chosen.all_tokens


def test_one_row_that_differs_beyond_the_region_has_all_rows_run_whole(model):
    sources = [earlier(model, 1, 4, seed=seed)[1] for seed in (7, 8)]
    target = together([conditions(model, seed=seed) for seed in (1, 2)])
    source = jax.tree.map(lambda *x: jnp.concatenate(x), *sources)
    far = hit(model, target, source, staged(1, 4, region(3))).region.chosen.beyond
    between = float(far.mean())
    assert far.min() < between < far.max()
    ours = hit(model, target, source, staged(1, 4, region(3, limit=between)))
    whole = hit(model, target, source, staged(1, 4))
    assert ours.region.chosen.all_tokens
    np.testing.assert_allclose(ours.latents, whole.latents, rtol=1e-5, atol=1e-5)


def watched_share(model, given, latents, step, words):
    """Attention to these words, its mean over layers and heads, from its definition."""
    context = given.context
    shares, tokens = [], model.forward(given, latents, at(step)).stem()[:1]
    times = given.times.at(at(step))
    mine = jax.tree.map(lambda x: x[:, :1], context.text)
    for i in range(CONFIG.depth):
        layer = jax.tree.map(lambda x: x[i], model.layers)
        near = context._replace(text=jax.tree.map(lambda x: x[i], mine))
        near = near._replace(bias=context.bias[:1])
        seen = {}

        def spy(query, key, value, bias=None, seen=seen):
            seen.update(query=np.asarray(query), key=np.asarray(key), bias=bias)
            return chunked(query, key, value, bias)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernel_attention, "attention", spy)
            tokens, _ = layer(tokens, times.blocks, given.rotary, near)
        logits = np.einsum("bnad,bmad->bnam", seen["query"], seen["key"])
        logits = logits / np.sqrt(CONFIG.head_width) + np.asarray(seen["bias"])[0]
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        shares.append((weights * words).sum(axis=-1).mean(axis=2))
    return np.mean(shares, axis=0)


def test_the_region_is_where_the_new_words_are_attended_to(model):
    given, source = earlier(model, 1, 4)
    words = np.zeros(8, np.float32)
    words[1] = 1
    plan = staged(1, 4, region(2, found_by="attention"))
    ours = hit(model, given, source, plan, words=jnp.asarray(words)[None])
    share = watched_share(model, given, source.start, 1, words)
    tiling = Tiling.fitting(GRID, TILE)
    want = np.asarray(tiling.tiles(jnp.asarray(share))).mean(axis=2)
    chosen = ours.region.chosen
    np.testing.assert_allclose(chosen.scores, want, rtol=2e-5)
    np.testing.assert_array_equal(chosen.tiles[0], np.argsort(-want[0])[:2])


@pytest.mark.as_users
@pytest.mark.parametrize("words", [None, jnp.zeros((1, 8))], ids=["none", "no new"])
def test_without_new_words_attention_gives_way_to_velocities(model, words):
    given, source = earlier(model, 1, 4)
    plan = staged(1, 4, region(2, found_by="attention"))
    ours = hit(model, given, source, plan, words=words)
    theirs = hit(model, given, source, staged(1, 4, region(2)))
    np.testing.assert_array_equal(ours.latents, theirs.latents)
