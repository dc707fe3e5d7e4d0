"""The arms of the benchmark of step caches inside hits."""

from dataclasses import replace

import pytest

from benchmarks.caches.hits import (
    ALONE,
    BUDGETS,
    CACHES,
    FULL,
    OWN,
    policies_of,
    stages,
    with_one_tier,
)
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.intra_request import EveryStep, registry
from chorus_jax.token_budgets import presets


def test_all_arms_but_the_full_run_have_the_policys_tiers():
    base = default_policy(50)
    arms = policies_of(base, CACHES)
    assert arms.pop(FULL).tiers == ()
    assert {arm.tiers for arm in arms.values()} == {base.tiers}
    assert {arm.look for arm in arms.values()} == {base.look}


def test_every_arm_has_another_cache():
    arms = policies_of(default_policy(50), CACHES)
    assert arms[ALONE].cache == EveryStep()
    assert arms[OWN] == default_policy(50)
    caches = [arms[line].cache for line in CACHES]
    assert len(set(caches)) == len(CACHES) and EveryStep() not in caches


def test_presets_of_token_budgets_are_plans_of_tokens():
    arms = policies_of(default_policy(50), BUDGETS)
    for name in BUDGETS:
        cache, budgets = arms[name].cache, presets.named(name, 50)
        ours, theirs = (x.sets(20, 50, 1000, 0) for x in (cache.budgets, budgets))
        assert ours == theirs


def test_the_policys_own_cache_is_run_once():
    base = replace(default_policy(50), cache=registry.parse(CACHES[0]))
    assert [*policies_of(base, CACHES)] == [FULL, ALONE, OWN, *CACHES[1:]]


def test_a_step_is_a_whole_number():
    assert stages("20,45,0.5") == (20, 45, 0.5)
    for line in ("20.5,45,0.5", "20,45", "20"):
        with pytest.raises(ValueError):
            stages(line)


def test_one_tier_replaces_those_of_the_policy():
    base = default_policy(50)
    made = with_one_tier(base, 20, 45, 0.5)
    [tier] = made.tiers
    assert (tier.reuse_until, tier.region_until, tier.active) == (20, 45, 0.5)
    assert tier.least == min(x.least for x in base.tiers)
    assert made.cache == base.cache and made.look == base.look
