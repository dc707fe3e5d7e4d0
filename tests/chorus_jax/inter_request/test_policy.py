"""Policies: tables from scores to plans."""

import json
from dataclasses import asdict, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.inter_request.meaning import WIDTH
from chorus_jax.inter_request.policy import Policy, Regions, Tier
from chorus_jax.inter_request.second_look import SecondLook, Sensitivity
from chorus_jax.inter_request.stages import StagePlan

TWO = Policy(
    50,
    (Tier(0.5, 5, 20, 0.5, key_gain=1.5), Tier(0.9, 10, 40)),
    keep=(5, 10, 20, 40),
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
    keep = {end for pair in ends for end in pair}
    keep |= draw(st.sets(st.integers(1, steps - 1), max_size=3))
    regions = Regions(draw(shares), draw(shares), draw(st.integers(0, 3)))
    skipped = tuple(sorted(draw(st.sets(st.integers(0, steps - 1), max_size=3))))
    return steps, tiers, tuple(sorted(keep)), regions, skipped


@given(tables(), shares, shares)
def test_a_higher_score_never_reuses_less(table, one, other):
    policy = Policy(*table)
    low, high = (policy.plan(score) for score in sorted((one, other)))
    if low is not None:
        assert high is not None
        assert low.reuse_until <= high.reuse_until
        assert low.region_until <= high.region_until
        assert policy.normalised(min(one, other)) <= policy.normalised(max(one, other))


@pytest.mark.parametrize(
    "score, tier",
    [(0.49, None), (0.5, 0), (0.89, 0), (0.9, 1), (1.0, 1), (1.0000001, 1)]
    + [(-1.0, None), (float("nan"), None)],
)
def test_a_score_has_the_highest_tier_that_it_reaches(score, tier):
    assert TWO.plan(score) == (None if tier is None else TWO.tiers[tier])


def test_scores_are_normalised_from_the_lowest_tier():
    scores = (0.3, 0.5, 0.75, 1.0, 1.1)
    assert [TWO.normalised(score) for score in scores] == [0, 0, 0.5, 1, 1]
    assert Policy(4, (Tier(1.0, 1, 1),), (1,)).normalised(1.0) == 1


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
        plan = StagePlan(steps, new.reuse_until, new.region_until, keep=scaled.keep)
        assert plan.stages[-1].whole
    for low, high in pairwise(scaled.tiers):
        assert low.least < high.least


@given(tables())
def test_for_its_own_steps_a_policy_is_itself(table):
    policy = Policy(*table)
    assert policy.for_steps(policy.steps) == policy


def test_skipped_steps_are_for_their_own_steps_and_regions_for_all():
    regions = Regions(halo=0.25, context="dropped")
    policy = Policy(50, (Tier(0.5, 5, 30),), (5, 30), regions, skipped=(40,))
    assert policy.for_steps(50) is policy
    other = policy.for_steps(10)
    assert other.skipped == () and other.regions == regions


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="0 steps"):
        TWO.for_steps(0)


@given(table=tables())
def test_what_is_written_is_read(table, tmp_path_factory):
    policy = Policy(*table)
    file = tmp_path_factory.getbasetemp() / "policy.json"
    policy.write(file)
    assert Policy.read(file) == policy


def test_a_look_is_written_and_read(tmp_path):
    sensitivity = Sensitivity((0.25,) * WIDTH, -1.5)
    policy = replace(TWO, look=SecondLook(0.5, sensitivity))
    policy.write(tmp_path / "policy.json")
    assert Policy.read(tmp_path / "policy.json") == policy
    assert policy.for_steps(4).look == policy.look == policy.for_steps(1).look


def test_a_file_may_leave_defaults_out_and_write_1_for_a_share(tmp_path):
    file = tmp_path / "policy.json"
    tier = {"least": 1, "reuse_until": 1, "region_until": 2}
    file.write_text(json.dumps({"steps": 4, "tiers": [tier], "keep": [1, 2]}))
    assert Policy.read(file) == Policy(4, (Tier(1.0, 1, 2),), (1, 2))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda told: told.update(other=1), "got .*'other'"),
        (lambda told: told.pop("steps"), r"the fields \['keep', 'look', 'regions'"),
        (lambda told: told.update(tiers=3), "not iterable"),
        (lambda told: told.update(tiers=[3]), "a tier has the fields .* got 3"),
        (lambda told: told.update(regions={"reach": 0.5}), r"reach is .*got 0.5"),
        (lambda told: told.update(regions={"context": "all"}), "context is one of"),
        (lambda told: told.update(regions={"context": 3}), "context is text, got 3"),
        (lambda told: told.update(regions={"halo": 2}), "shares are 0 to 1"),
        (lambda told: told.update(keep=["5"]), r"keep is a number \(int\), got '5'"),
        (lambda told: told.update(steps=50.0), r"steps is a number \(int\), got 50.0"),
        (lambda told: told["tiers"][0].update(leest=1), "a tier has .* 'leest'"),
        (lambda told: told["tiers"][0].pop("least"), "missing .* 'least'"),
        (lambda told: told["tiers"][0].update(least="1"), r"least .*float\), got '1'"),
        (lambda told: told["tiers"][0].update(active=None), "active .* got None"),
        (lambda told: told["tiers"][0].update(reuse_until=True), "got True"),
        (lambda told: told["tiers"][0].update(key_gain=10**400), "too large"),
        (lambda told: told["tiers"][1].update(reuse_until=4), "reuses no less"),
        (lambda told: told.update(look=3), "a look has the fields"),
        (lambda told: told.update(look={"weight": -1}), "weight is 0 or more"),
        (lambda told: told["look"].update(sensitivity=3), "a sensitivity has .* got 3"),
        (
            lambda told: told["look"].update(sensitivity={"direction": [1]}),
            "a sensitivity has direction and offset",
        ),
        (
            lambda told: told["look"].update(
                sensitivity={"direction": [1], "offset": 0}
            ),
            "64 numbers",
        ),
    ],
)
def test_files_with_wrong_fields_are_refused(change, message, tmp_path):
    told = asdict(TWO)
    change(told)
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(told, default=list))
    with pytest.raises(ValueError, match=f"policy.json holds no policy.*{message}"):
        Policy.read(file)


@pytest.mark.parametrize("text", ["", "[1]", "{", "3"])
def test_files_of_something_else_are_refused(text, tmp_path):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ValueError, match="p.json holds no policy"):
        Policy.read(tmp_path / "p.json")


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
    "steps, tiers, keep, message",
    [
        (10, (HIGH, LOW), (2, 3, 6), "tiers rise in `least`"),
        (10, (LOW, LOW), (2, 6), "tiers rise in `least`"),
        (10, (LOW, Tier(0.7, 1, 6)), (1, 2, 6), "reuses no less"),
        (10, (LOW, Tier(0.7, 2, 5)), (2, 5, 6), "reuses no less"),
        (10, (LOW, HIGH), (2, 6), r"latents at the steps \[2, 3, 6\]"),
        (6, (LOW,), (2,), r"latents at the steps \[2, 6\], below 6"),
        (6, (LOW,), (2, 6), "less than the 6 steps"),
        (10, (LOW,), (6, 2), "key steps rise"),
        (10, (LOW,), (0, 2, 6), "key steps rise"),
        (0, (), (), "0 steps"),
    ],
)
def test_impossible_policies_are_refused(steps, tiers, keep, message):
    with pytest.raises(ValueError, match=message):
        Policy(steps, tiers, keep)


@pytest.mark.parametrize("skipped", [(3, 2), (2, 2), (-1,), (10,)])
def test_skipped_steps_that_are_not_of_the_run_are_refused(skipped):
    with pytest.raises(ValueError, match="skipped steps rise from 0 to less than"):
        Policy(10, (LOW,), (2, 6), skipped=skipped)
