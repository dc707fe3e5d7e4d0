"""Policies: tables from scores to plans."""

import math
from copy import copy
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.region import Region
from chorus_jax.inter_request.match.meaning import WIDTH
from chorus_jax.inter_request.match.second_look import SecondLook, Sensitivity
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import EveryStep, SkipSteps, registry
from chorus_jax.intra_request.tea import TeaCache

TWO = Policy(
    50,
    (Tier(0.5, 5, 20, 0.5, key_gain=1.5), Tier(0.9, 10, 40)),
)
CACHES = (
    EveryStep(),
    SkipSteps((0, 3)),
    TeaCache(0.1, (1.0, 0.0)),
    TeaCache.published("wan21_t2v_14b", 0.2, retention=True),
)
shares = st.floats(0, 1)


@st.composite
def tables(draw):
    """What a policy is made of."""
    steps = draw(st.integers(2, 60))
    count = draw(st.integers(0, 4))
    least = sorted(draw(st.sets(shares, min_size=count, max_size=count)))
    some = st.lists(st.integers(1, steps - 1), min_size=count, max_size=count)
    some = some.map(sorted)
    ends = [sorted(pair) for pair in zip(draw(some), draw(some))]
    gains = st.floats(1, 3)
    tiers = tuple(
        Tier(score, *pair, draw(st.floats(0.1, 1)), draw(gains), draw(gains))
        for score, pair in zip(least, ends)
    )
    regions = Regions(
        draw(shares),
        draw(shares),
        draw(st.integers(0, 3)),
        limit=draw(st.sampled_from([0.0, 0.3, math.inf])),
    )
    caches = [draw(st.sampled_from(CACHES)) for _ in range(2)]
    return steps, tiers, regions, *caches


@given(tables(), shares, shares)
def test_a_higher_score_never_reuses_less(table, one, other):
    policy = Policy(*table)
    low, high = (policy.plan(score) for score in sorted((one, other)))
    if low is not None:
        assert high is not None
        assert low.reuse_until <= high.reuse_until
        assert low.region_until <= high.region_until


@pytest.mark.parametrize(
    "score, tier",
    [(0.49, None), (0.5, 0), (0.89, 0), (0.9, 1), (1.0, 1), (1.0000001, 1)]
    + [(-1.0, None), (float("nan"), None)],
)
def test_a_score_has_the_highest_tier_that_it_reaches(score, tier):
    assert TWO.plan(score) == (None if tier is None else TWO.tiers[tier])


@given(tables(), st.integers(1, 60))
def test_a_policy_for_other_steps_is_one_for_them(table, steps):
    policy = Policy(*table)
    scaled = policy.for_steps(steps)
    assert scaled.steps == steps
    assert len(scaled.tiers) == (len(policy.tiers) if steps > 1 else 0)
    for old, new in zip(policy.tiers, scaled.tiers):
        assert 1 <= new.reuse_until <= new.region_until <= steps - 1
        if new.reuse_until > 1:
            assert new.reuse_until / steps <= old.reuse_until / policy.steps
        ends = (new.reuse_until, new.region_until)
        plan = StepPlan.staged(steps, *ends, Region((1, 1, 1), 1))
        assert plan.stretches[-1].region is None
    for low, high in pairwise(scaled.tiers):
        assert low.least < high.least


@given(tables())
def test_for_its_own_steps_a_policy_is_itself(table):
    policy = Policy(*table)
    assert policy.for_steps(policy.steps) == policy


def test_step_caches_are_for_their_own_steps_and_regions_for_all():
    regions, caches = Regions(halo=0.25, context="dropped"), CACHES[1:3]
    policy = Policy(50, (Tier(0.5, 5, 30),), regions, *caches)
    assert policy.for_steps(50) is policy
    assert (policy.cache, policy.miss_cache) == caches
    other = policy.for_steps(10)
    assert other.cache == other.miss_cache == EveryStep()
    assert other.regions == regions


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="got 0"):
        TWO.for_steps(0)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"least": 1.1}, "0 <= least <= 1"),
        ({"least": float("nan")}, "0 <= least <= 1"),
        ({"active": 0.0}, "0 < active <= 1"),
        ({"key_gain": 0.9}, "gains are 1 or more"),
        ({"output_gain": float("inf")}, "gains are 1 or more and finite"),
        ({"reuse_until": -1}, "expected 1 <= reuse_until"),
        ({"reuse_until": 7}, "got 7 and 6"),
        ({"reuse_until": 0, "region_until": 0}, "a tier reuses something"),
    ],
)
def test_impossible_tiers_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Tier(**({"least": 0.5, "reuse_until": 2, "region_until": 6} | fields))


LOW, HIGH = Tier(0.5, 2, 6), Tier(0.7, 3, 6)


@pytest.mark.parametrize(
    "steps, tiers, message",
    [
        (10, (HIGH, LOW), "tiers rise in `least`"),
        (10, (LOW, LOW), "tiers rise in `least`"),
        (10, (LOW, Tier(0.7, 1, 6)), "reuses no less"),
        (10, (LOW, Tier(0.7, 2, 5)), "reuses no less"),
        (6, (LOW,), "one whole step or more ends a run of 6 steps"),
        (0, (), "1 or more steps, got 0"),
    ],
)
def test_impossible_policies_are_refused(steps, tiers, message):
    with pytest.raises(ValueError, match=message):
        Policy(steps, tiers)


def changed(value):
    """Copies of a tree of dataclasses and tuples, each with one field changed; not
    checked anew, so that any other value will do."""
    if is_dataclass(value):
        for entry in fields(value):
            for other in changed(getattr(value, entry.name)):
                one = copy(value)
                object.__setattr__(one, entry.name, other)
                yield one
    elif isinstance(value, tuple) and any(map(is_dataclass, value)):
        for at, item in enumerate(value):
            for other in changed(item):
                yield (*value[:at], other, *value[at + 1 :])
    else:
        yield ["another value"]


@pytest.mark.parametrize("cache", registry.CACHES)
def test_every_field_that_decides_a_hit_is_of_the_digest(cache):
    """Fields to come too: whatever they are."""
    look = SecondLook(0.1, Sensitivity((0.5,) * WIDTH, 0.25))
    cached = object.__new__(registry.CACHES[cache])
    for entry in fields(cached):
        object.__setattr__(cached, entry.name, "a value")
    tiers = (Tier(0.5, 1, 2), Tier(0.9, 1, 3))
    whole = Policy(5, tiers, Regions(), cached, EveryStep(), look)
    others = [one for one in changed(whole) if one.miss_cache == whole.miss_cache]
    digests = {one.digest for one in others} | {whole.digest}
    assert len(digests) == len(others) + 1 > 20
    assert replace(whole, miss_cache=SkipSteps((1,))).digest == whole.digest
    assert replace(whole).digest == whole.digest


def test_step_caches_that_cannot_be_told_apart_have_no_digest():
    class Own(EveryStep):
        pass

    with pytest.raises(ValueError, match="has no name: list its class"):
        Policy(5, (), cache=Own()).digest
    tier = Tier(0.5, 1, 2)
    whole = Policy(5, (tier,))
    before = whole.digest
    object.__setattr__(tier, "least", np.float32(0.5))  # as numpy's users give it
    assert whole.digest == before
