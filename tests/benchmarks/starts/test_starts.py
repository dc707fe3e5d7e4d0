"""Starts of hits: the compared policies, and the effect of seeds."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.reuse.arms import FULL
from benchmarks.reuse.bench import Target
from benchmarks.starts import starts
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
    assert len(policies) == 5 and policies.pop(FULL).tiers == ()
    for name, policy in policies.items():
        [tier] = policy.tiers
        assert name.startswith(f"renoised_{tier.reuse_until}")
        assert (tier.active < 1) == name.endswith("_40_half")


def test_without_room_for_a_region_there_is_none(arms):
    names = arms(4, (1, 2), 3)
    assert [name for name in names if "half" in name] == ["renoised_1_3_half"]


def test_mixtures_begin_where_the_others_do(arms):
    policies = arms(4, (1, 2), 0, True)
    assert len(policies) == 9
    for name in ("mixed", "source", "by_place"):
        assert policies[f"{name}_2"] == policies["renoised_2"]


def test_only_targets_with_a_source_are_run():
    bench = SimpleNamespace(targets=(target(0, 0.5), target(1, None), target(2, 0.4)))
    own = starts.with_source(bench)
    assert [x.number for x in own] == [0, 2]
    assert len({x.request.seed for x in own}) == 2


@pytest.mark.parametrize("apart, ratio", [(0, 0.0), (10, 0.5), (20, 1.0)])
def test_variety_is_over_that_of_two_full_runs(apart, ratio):
    bench = SimpleNamespace(targets=(target(0, 0.5), target(1, 0.5)))

    def arm(distance):
        def made(target):
            value = distance if target.request.seed < starts.OTHER_SEEDS else 0
            return SimpleNamespace(frames=np.full((1, 2, 2, 3), value, np.uint8))

        return made

    assert starts.variety(bench, arm(apart), arm(20), 2) == pytest.approx(ratio)
