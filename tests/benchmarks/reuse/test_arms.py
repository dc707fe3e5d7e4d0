"""Each arm removes exactly one part of the policy."""

from dataclasses import fields, replace
from itertools import pairwise

import pytest

from benchmarks.reuse import arms as chorus_arms
from benchmarks.reuse.arms import FULL, LADDER, curve, curve_steps, with_fewer
from chorus_jax.calibration.tiers import effective, with_tiers
from chorus_jax.inter_request.policy.policies import default_policy, nirvana
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import EveryStep, SkipSteps
from configs import shapes, shapes_4step

BASE = Policy(
    steps=10,
    tiers=(Tier(0.5, 2, 6, 0.5, 1.5, 1.2), Tier(0.8, 4, 8, 0.25, 2.0, 1.1)),
    cache=SkipSteps((5, 7)),
)


def changed(one, other):
    """The names of the fields in which two policies differ, those of tiers too."""
    names = {f.name for f in fields(Policy) if f.name != "tiers"}
    found = {name for name in names if getattr(one, name) != getattr(other, name)}
    for mine, theirs in zip(one.tiers, other.tiers, strict=True):
        found |= {
            f.name
            for f in fields(Tier)
            if getattr(mine, f.name) != getattr(theirs, f.name)
        }
    return found


def test_each_arm_takes_away_exactly_one_thing():
    arms = chorus_arms.policies(BASE)
    assert arms["chorus_cache"] == BASE
    taken = [changed(arms[less], arms[more]) for less, more in pairwise(LADDER)]
    assert taken == [{"output_gain"}, {"key_gain"}, {"active"}, {"cache"}]


def test_what_is_taken_away_is_gone():
    arms = chorus_arms.policies(BASE)
    assert arms["chorus"].cache == EveryStep()
    assert {tier.active for tier in arms["key_gain"].tiers} == {1}
    assert {tier.key_gain for tier in arms["output_gain"].tiers} == {1}
    assert {tier.output_gain for tier in arms["stage1"].tiers} == {1}
    assert not arms[FULL].tiers and arms[FULL].steps == BASE.steps
    assert arms["nirvana"] == nirvana(BASE)


def test_what_the_base_lacks_makes_arms_alike():
    arms = chorus_arms.policies(default_policy(50))
    assert arms["stage1"] == arms["output_gain"] != arms["key_gain"]
    assert arms["chorus"] == arms["chorus_cache"]


def test_what_does_nothing_makes_no_difference():
    work = effective
    opening = Policy(50, (Tier(0.5, 20, 21, 0.5, 2.0), Tier(0.8, 45, 45)))
    whole = with_tiers(opening, active=1.0)
    assert work(opening) == work(whole) != work(with_gain(whole, 1.0))
    # Without a stage 2 gains do nothing either; with one region step the share does.
    late = replace(opening, tiers=(Tier(0.5, 45, 45, 0.5, 2.0, 1.5),))
    assert work(late).tiers == (Tier(0.5, 45, 45),)
    regional = replace(opening, tiers=(Tier(0.5, 20, 22, 0.5),))
    other = Regions(reach=2, halo=0.25)
    assert work(regional) == regional != work(replace(regional, regions=other))
    assert work(late) == work(replace(late, regions=other))


def test_steps_that_no_tier_skips_are_not_skipped():
    tiers = (Tier(0.3, 1, 3, 0.5), Tier(0.4, 3, 3))
    four = Policy(4, tiers, cache=SkipSteps((2,)))
    # Step 1 shows the region, 2 is its first step; the other tier begins at 3.
    assert effective(four) == replace(four, cache=EveryStep())
    more = replace(four, tiers=(Tier(0.3, 1, 1), tiers[1]))
    assert effective(more) == more


def with_gain(policy, gain):
    return with_tiers(policy, key_gain=gain)


@pytest.mark.parametrize("steps", [2, 4, 50])
def test_points_of_the_curve_are_policies_of_one_tier(steps):
    found = curve(default_policy(steps))
    assert found
    for name, policy in found.items():
        [tier] = policy.tiers
        regional = tier.region_until > tier.reuse_until + 1
        assert tier.least == 0.0
        if name.startswith("curve_stage1"):
            assert tier.key_gain == 1 and not regional
        elif name.startswith("curve_gains"):
            assert tier.key_gain * tier.output_gain > 1 == tier.active
        else:
            assert tier.key_gain == 2.5 and regional


def test_points_that_fall_together_are_one():
    found = curve(default_policy(4))
    ours = [name for name in found if name.startswith("curve_chorus")]
    assert ours == ["curve_chorus_1_3_0.5", "curve_chorus_1_3_0.25"]
    assert list(curve_steps(4)) == [f"curve_fewer_{n}" for n in (1, 2, 3)]
    assert not curve(Policy(4, ()))


def test_fewer_steps_of_sigmas_are_evenly_spaced():
    request = shapes_4step.get_config()
    assert with_fewer(request, 4) is request
    assert with_fewer(request, 2).steps == (1.0, 0.5)
    assert with_fewer(shapes.get_config(), 12) == replace(shapes.get_config(), steps=12)
