"""The default policies."""

from dataclasses import replace

import pytest

from chorus_jax.checkpoints import Card
from chorus_jax.cli.choice import choose
from chorus_jax.denoise.cost import equivalents
from chorus_jax.engine.plans import planned
from chorus_jax.engine.policies import sampler_of
from chorus_jax.families.wan.parts import parts_of, stored_names
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy import policies, policy_file
from chorus_jax.inter_request.policy.policies import (
    NIRVANA,
    calibrated,
    calibrated_file,
    default_policy,
    nirvana,
)
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.inter_request.policy.policy_file import Measured, Sampler
from chorus_jax.nets.tokens import Tiling


@pytest.mark.parametrize(
    "score, step",
    [(0.64, None), (0.66, 5), (0.76, 10), (0.86, 15), (0.91, 20), (0.96, 25)],
)
def test_nirvana_takes_over_as_in_its_table(score, step):
    tier = NIRVANA.plan(score)
    assert (tier and tier.reuse_until) == step
    assert tier is None or tier.region_until == step


def test_nirvana_has_no_gains_and_at_4_steps_saves_one():
    policy = NIRVANA.for_steps(4)
    assert all(tier.key_gain == tier.output_gain == 1 for tier in policy.tiers)
    assert work(policy) == [3, 3, 3, 3, 2]


def work(policy):
    """The full steps' worth of each tier, of a video of 64 tiles."""
    tiling = Tiling((4, 4, 4), (1, 1, 1))
    plans = [planned(policy, tier, tiling) for tier in policy.tiers]
    return [equivalents(plan, tiling.count) for plan in plans]


def test_nirvana_beside_another_policy_has_its_steps_at_that_ones_scores():
    tiers = (Tier(0.5, 2, 6, 0.5, 1.5), Tier(0.8, 4, 8, 0.25))
    other = Policy(10, tiers, look=SecondLook(weight=0.7))
    found, own = nirvana(other), NIRVANA.for_steps(10)
    least = [tier.least for tier in found.tiers]
    assert least == pytest.approx([0.5, 0.6429, 0.7857, 0.8571, 0.9286])
    ends = lambda policy: [(x.reuse_until, x.region_until) for x in policy.tiers]
    assert ends(found) == ends(own) and found.look == other.look
    assert nirvana(replace(other, tiers=())) == replace(own, look=other.look)


def test_ours_at_4_steps_saves_at_most_one_and_a_half():
    assert work(default_policy(4)) == [3, 3, 2.5, 2.5]


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 50, 100])
def test_ours_is_there_for_any_number_of_steps(steps):
    policy = default_policy(steps)
    assert policy.steps == steps
    assert policy.plan(0.5) is None
    assert (policy.plan(1.0) is None) == (steps == 1)


def test_a_measured_policy_is_found_by_its_weights_and_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "__file__", str(tmp_path / "policies.py"))
    assert calibrated({"vae": "a"}, 4) is None
    (tmp_path / "calibrated").mkdir()
    weights = {"vae": "a", "transformer": "b"}
    ours = Measured(NIRVANA.for_steps(8), weights, Sampler("euler", 3.0, 1.0))
    policy_file.write(policies.calibrated_file("shapes", 8), ours)
    other = Measured(NIRVANA, {"vae": "a"})
    policy_file.write(policies.calibrated_file("other", 8), other)
    assert calibrated(weights, 8) == ours
    assert calibrated(weights | {"transformer": "c"}, 8) is None
    assert calibrated(weights, 4) is None


@pytest.mark.parametrize("steps", [50, 4])
def test_a_shipped_policy_is_of_the_shipped_weights(steps):
    """Or there is none: a policy of other weights would never run."""
    choice = choose(None, None, {"steps": steps})
    card = Card.read(choice.folder)
    stored = stored_names(choice.transformer)
    parts = parts_of(card, choice.transformer)
    prints = {part: card.part(stored[part]).fingerprint for part in parts}
    measured = calibrated(prints, steps)
    assert (measured is None) != calibrated_file("shapes", steps).exists()
    if measured is not None:
        assert measured.policy.steps == steps
        assert measured.sampler == sampler_of(choice.request)
