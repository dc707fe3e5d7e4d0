"""Policies as JSON files."""

import json
from dataclasses import replace

import pytest
from hypothesis import given

from chorus_jax.inter_request.match.meaning import WIDTH
from chorus_jax.inter_request.match.second_look import SecondLook, Sensitivity
from chorus_jax.inter_request.policy import policy_file
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.inter_request.policy.policy_file import Measured, Sampler
from chorus_jax.intra_request import SkipSteps
from tests.chorus_jax.inter_request.policy.test_policy import TWO, tables


@given(table=tables())
def test_what_is_written_is_read(table, tmp_path_factory):
    policy = Policy(*table)
    file = tmp_path_factory.getbasetemp() / "policy.json"
    policy_file.write(file, Measured(policy))
    assert policy_file.read(file) == Measured(policy)


def test_a_look_is_written_and_read(tmp_path):
    sensitivity = Sensitivity((0.25,) * WIDTH, -1.5)
    policy = replace(TWO, look=SecondLook(0.5, sensitivity))
    policy_file.write(tmp_path / "policy.json", Measured(policy))
    assert policy_file.read(tmp_path / "policy.json").policy == policy
    assert policy.for_steps(4).look == policy.look == policy.for_steps(1).look


def test_a_file_may_leave_defaults_out_and_write_1_for_a_share(tmp_path):
    file = tmp_path / "policy.json"
    tier = {"least": 1, "reuse_until": 1, "region_until": 2}
    file.write_text(json.dumps({"steps": 4, "tiers": [tier]}))
    expected = Measured(Policy(4, (Tier(1.0, 1, 2),)))
    assert policy_file.read(file) == expected


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda content: content.update(other=1), "got .*'other'"),
        (
            lambda content: content.pop("steps"),
            "has the fields steps, tiers, and may have cache, look",
        ),
        (lambda content: content.update(tiers=3), "not iterable"),
        (lambda content: content.update(tiers=[3]), "a tier has the fields .* got 3"),
        (lambda content: content.update(regions={"reach": 0.5}), r"reach is .*got 0.5"),
        (
            lambda content: content.update(regions={"context": "all"}),
            "context is one of",
        ),
        (
            lambda content: content.update(regions={"context": 3}),
            "context is text, got 3",
        ),
        (lambda content: content.update(regions={"halo": 2}), "shares are 0 to 1"),
        (lambda content: content.update(keep=[5]), "an earlier version, .*calibrate"),
        (
            lambda content: content.update(steps=50.0),
            r"steps is a number \(int\), got 50.0",
        ),
        (lambda content: content["tiers"][0].update(leest=1), "a tier has .* 'leest'"),
        (lambda content: content["tiers"][0].pop("least"), "missing .* 'least'"),
        (
            lambda content: content["tiers"][0].update(least="1"),
            r"least .*float\), got '1'",
        ),
        (lambda content: content["tiers"][0].update(active=None), "active .* got None"),
        (lambda content: content["tiers"][0].update(reuse_until=True), "got True"),
        (lambda content: content["tiers"][0].update(key_gain=10**400), "too large"),
        (lambda content: content["tiers"][1].update(reuse_until=4), "reuses no less"),
        (
            lambda content: content.update(cache=3),
            "a step cache has a name and .* got 3",
        ),
        (
            lambda content: content.update(cache={"steps": [1]}),
            "a step cache has a name",
        ),
        (
            lambda content: content.update(miss_cache={"name": "no"}),
            "choose one of every",
        ),
        (
            lambda content: content["cache"].update(steps=[3, 2]),
            "numbers rising from 0",
        ),
        (
            lambda content: content["cache"].update(other=3),
            "'skip' has the fields steps",
        ),
        (lambda content: content.update(look=3), "a look has the fields"),
        (lambda content: content.update(look={"weight": -1}), "weight is 0 or more"),
        (
            lambda content: content["look"].update(sensitivity=3),
            "a sensitivity has .* got 3",
        ),
        (
            lambda content: content["look"].update(sensitivity={"direction": [1]}),
            "a sensitivity has direction and offset",
        ),
        (
            lambda content: content["look"].update(
                sensitivity={"direction": [1], "offset": 0}
            ),
            "64 numbers",
        ),
    ],
)
def test_files_with_wrong_fields_are_refused(change, message, tmp_path):
    file = tmp_path / "policy.json"
    policy_file.write(file, Measured(replace(TWO, cache=SkipSteps((2,)))))
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"policy.json holds no policy.*{message}"):
        policy_file.read(file)


@pytest.mark.parametrize("text", ["", "[1]", "{", "3"])
def test_files_of_something_else_are_refused(text, tmp_path):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(ValueError, match="p.json holds no policy"):
        policy_file.read(tmp_path / "p.json")


def test_what_it_was_measured_on_is_written_and_read(tmp_path):
    file, sampler = tmp_path / "policy.json", Sampler("euler", 3.0, 1.0)
    measured = Measured(TWO, {"vae": "a", "transformer": "b"}, sampler)
    policy_file.write(file, measured)
    assert policy_file.read(file) == measured


def write_with(file, **fields):
    """Writes a policy with other fields."""
    policy_file.write(file, Measured(TWO))
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


@pytest.mark.parametrize("weights", ["a", ["a"], {"vae": 3}])
def test_weights_that_are_no_fingerprints_are_refused(weights, tmp_path):
    write_with(tmp_path / "p.json", weights=weights)
    with pytest.raises(ValueError, match="weights are fingerprints by part, got"):
        policy_file.read(tmp_path / "p.json")


@pytest.mark.parametrize("sampler", ["euler", {"solver": "euler"}, {"shift": "3"}])
def test_a_sampler_without_its_fields_is_refused(sampler, tmp_path):
    write_with(tmp_path / "p.json", sampler=sampler)
    with pytest.raises(ValueError, match="p.json holds no policy"):
        policy_file.read(tmp_path / "p.json")
