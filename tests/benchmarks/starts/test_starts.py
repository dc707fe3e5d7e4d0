"""Starts of hits: the compared policies, and the effect of seeds."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.reuse.arms import FULL
from benchmarks.reuse.bench import Target
from benchmarks.starts import seeds, starts
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.request import Request


def target(number, score):
    return Target(number, None, Request("a", seed=7), 16, "id", score)


@pytest.fixture
def arms(monkeypatch):
    """The policies of the arms of points, by name."""
    for kind in ("Reusing", "Mixing", "MixingByPlace"):
        monkeypatch.setattr(starts, kind, lambda bench, policy, **_: policy)
    return lambda steps, *points: starts.StartPoints(*points).arms(
        None, default_policy(steps)
    )


def test_an_arm_per_step_and_one_more_with_a_region(arms):
    policies = arms(50, (10, 20), 40)
    assert len(policies) == 6 and policies.pop(FULL).tiers == ()
    assert policies.pop(starts.POLICY) == default_policy(50)
    for name, policy in policies.items():
        [tier] = policy.tiers
        assert name.startswith(f"renoised_{tier.reuse_until}")
        assert (tier.active < 1) == name.endswith("_40_half")


def test_without_room_for_a_region_there_is_none(arms):
    names = arms(4, (1, 2), 3)
    assert [name for name in names if "half" in name] == ["renoised_1_3_half"]


def test_mixtures_begin_where_the_others_do(arms):
    policies = arms(4, (1, 2), 0, True)
    assert len(policies) == 10
    for name in ("mixed", "source", "by_place"):
        assert policies[f"{name}_2"] == policies["renoised_2"]


def test_only_targets_with_a_source_are_run():
    bench = SimpleNamespace(targets=(target(0, 0.5), target(1, None), target(2, 0.4)))
    own = seeds.with_source(bench)
    assert [x.number for x in own] == [0, 2]
    assert len({x.request.seed for x in own}) == 2


@pytest.mark.parametrize("apart, ratio", [(0, 0.0), (10, 0.5), (20, 1.0)])
def test_variety_is_over_that_of_two_full_runs(apart, ratio):
    bench = SimpleNamespace(targets=(target(0, 0.5), target(1, 0.5), target(2, 0.5)))

    def arm(distance):
        def made(target):
            assert target.number != 1, "only the wanted targets are run"
            value = distance if target.request.seed < seeds.OTHER_SEEDS else 0
            return SimpleNamespace(frames=np.full((1, 2, 2, 3), value, np.uint8))

        return made

    pairs = seeds.SeedPairs.of(bench, arm(20), (0, 2))
    assert pairs.apart == [20, 20]
    measured = pairs.variety(arm(apart))
    assert measured == {"variety": pytest.approx(ratio), "varied": 2}
    assert seeds.SeedPairs.of(bench, arm(20), ()).variety(arm(apart)) == {"varied": 0}


def test_seeds_are_compared_on_the_first_hits_of_each_kind():
    hits = [replace(target(i, 0.5), changed=("size",) * (i % 2)) for i in range(6)]
    assert seeds.first_hits(hits, "changed", 2) == [1, 3]
    assert seeds.first_hits(hits, "reworded", 4) == [0, 2, 4]
