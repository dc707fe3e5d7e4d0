"""Step caches of a policy: on misses and on hits, through the engine."""

from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.denoise.cost import equivalents
from chorus_jax.engine import Denoised
from chorus_jax.intra_request import SkipSteps
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.intra_request.tea import TeaCache
from tests.chorus_jax.engine.tiny import BLUE, REGIONS, STEPS, policy, small

NEVER = TeaCache(0.0, (1.0, 0.0))
OFTEN = TeaCache(100.0, (1.0, 0.0))


def miss_and_hit(engine, **caches):
    """What a miss and a hit of it leave, with the plan of each."""
    engine.policies = lambda _: replace(policy(), **caches)
    events, results = [], []
    for request in (small(seed=3), small(BLUE, seed=4)):
        results.append(engine.generate(request, observer=events.append))
    assert [x.ledger.kind for x in results] == ["miss", "semantic"]
    plans = [event.plan for event in events if isinstance(event, Denoised)]
    return list(zip(results, plans, strict=True))


def empty(engine):
    for head in list(engine.cache.store):
        engine.cache.store.delete(head.id)


@pytest.mark.as_users
def test_at_threshold_0_nothing_changes_bit_for_bit(engine):
    plain = miss_and_hit(engine)
    empty(engine)
    cached = miss_and_hit(engine, cache=NEVER, miss_cache=NEVER)
    for (want, _), (ours, plan) in zip(plain, cached):
        assert {stretch.cache for stretch in plan.stretches} == {NEVER}
        np.testing.assert_array_equal(ours.video.latents, want.video.latents)
        assert ours.ledger.equivalents == want.ledger.equivalents


def test_a_cache_of_misses_is_for_misses(engine):
    plain = miss_and_hit(engine)
    empty(engine)
    skip = SkipSteps((1, 3, 5))
    (miss, plan), (hit, _) = miss_and_hit(engine, miss_cache=skip)
    assert miss.ledger.equivalents == STEPS - 3 == equivalents(plan, 8)
    assert hit.ledger.equivalents == plain[1][0].ledger.equivalents
    assert np.abs(miss.video.latents - plain[0][0].video.latents).max() > 0


@pytest.mark.parametrize(
    "cache, work", [(SkipSteps((5,)), 2.5), (OFTEN, 3.5)], ids=["skip", "tea"]
)
def test_a_cache_of_hits_is_for_hits(engine, cache, work):
    """Of the hit's four steps the second is of half of the tokens. A step cache begins
    anew where the tokens change, so the last alone may be saved, which TeaCache always
    computes."""
    plain = miss_and_hit(engine)
    empty(engine)
    (miss, _), (hit, plan) = miss_and_hit(engine, cache=cache)
    np.testing.assert_array_equal(miss.video.latents, plain[0][0].video.latents)
    assert hit.ledger.equivalents == work


def test_what_a_cache_saved_is_counted_in_full_steps_where_all_tokens_ran(engine):
    """The videos differ beyond the region, so the hit's four steps run all tokens."""
    regions = replace(REGIONS, limit=0.0)
    _, (hit, _) = miss_and_hit(engine, cache=SkipSteps((5,)), regions=regions)
    assert (hit.ledger.active, hit.ledger.equivalents) == (1, 3)
    assert (hit.ledger.reused, hit.ledger.forecast) == (1, 0)


def test_tea_cache_saves_steps_of_misses(engine):
    (miss, _), _ = miss_and_hit(engine, miss_cache=OFTEN)
    assert (miss.ledger.equivalents, miss.ledger.reused) == (2, STEPS - 2)


def test_a_plan_of_tokens_is_for_misses_and_for_hits(engine):
    """The plan runs half of the tokens in two steps of the miss. The hit's stages begin
    with full steps: one shows the region, one is of half of the tokens, two rank."""
    shares = (1.0,) * 2 + (0.5,) + (1.0,) * (STEPS - 4) + (0.5,)
    plan = PlannedTokens(shares, ((STEPS - 1, (STEPS - 2,), (0.9,)),))
    (miss, first), (hit, second) = miss_and_hit(engine, cache=plan, miss_cache=plan)
    tiles = engine.pipeline.model.geometry(small()).tiling.count
    assert miss.ledger.equivalents == STEPS - 1 == equivalents(first, tiles)
    assert (miss.ledger.reused, miss.ledger.forecast) == (1, 0)
    assert hit.ledger.equivalents == equivalents(second, tiles) == 3.5
    assert (hit.ledger.reused, hit.ledger.forecast) == (0, 0)
