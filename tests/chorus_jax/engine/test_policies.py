"""Which policy serves a request, and what is logged about it."""

from dataclasses import replace

import pytest

from chorus_jax.engine.policies import (
    default_for,
    policies_for,
    policies_of_file,
    requested,
    scaled,
)
from chorus_jax.inter_request.policy import policies, policy_file
from chorus_jax.inter_request.policy.policies import NIRVANA, default_policy
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.policy.policy_file import Measured, Sampler
from chorus_jax.intra_request import EveryStep, SkipSteps
from chorus_jax.request import Request

WEIGHTS = {"vae": "a"}
REQUEST = Request("a cat", steps=8, solver="euler", shift=3.0, guidance_scale=1.0)
MEASURED = NIRVANA.for_steps(8)


@pytest.fixture
def chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "__file__", str(tmp_path / "policies.py"))
    (tmp_path / "calibrated").mkdir()
    sampler = Sampler("euler", 3.0, 1.0)
    file = policies.calibrated_file("shapes", 8)
    policy_file.write(file, Measured(MEASURED, WEIGHTS, sampler))
    return policies_for(WEIGHTS)


def test_a_measured_policy_is_taken_in_silence(chosen, caplog):
    assert chosen(REQUEST) == MEASURED
    assert not caplog.records


def test_without_one_the_default_runs_and_the_log_says_so_once(chosen, caplog):
    four = replace(REQUEST, steps=4)
    assert chosen(four) == chosen(four) == default_policy(4) == default_for(four)
    [said] = [each.getMessage() for each in caplog.records]
    assert said.startswith("no policy was measured on these weights at 4 steps")


@pytest.mark.parametrize(
    "change", [{"solver": "unipc"}, {"shift": 5.0}, {"guidance_scale": 3.0}], ids=str
)
def test_another_sampler_than_was_measured_is_told_once(change, chosen, caplog):
    for _ in range(2):
        assert chosen(replace(REQUEST, **change)) == MEASURED
    [said] = [each.getMessage() for each in caplog.records]
    assert "was measured with Sampler(solver='euler', shift=3.0" in said


def test_a_policy_in_a_file_says_where_it_was_not_measured(caplog):
    """Once for each number of steps and each sampler."""
    measured = Measured(MEASURED, WEIGHTS, Sampler("euler", 3.0, 1.0))
    chosen = policies_of_file(measured, "policy.json")
    assert chosen(REQUEST) == MEASURED and not caplog.records
    for _ in range(2):
        assert chosen(replace(REQUEST, steps=6)) == MEASURED.for_steps(6)
        assert chosen(replace(REQUEST, solver="unipc")) == MEASURED
    steps, sampler = (each.getMessage() for each in caplog.records)
    assert steps.startswith("policy.json was measured at 8 steps: at 6 its stages")
    assert sampler.startswith("policy.json was measured with Sampler(solver='euler'")


@pytest.mark.parametrize("caches", ["cache", "miss_cache"])
def test_a_policy_s_velocities_do_not_outlast_steps_that_add_noise(caches):
    measured = Policy(20, (), **{caches: SkipSteps((1,))})
    policies = requested(scaled(measured))
    assert policies(Request("a", steps=20)) == measured
    with pytest.raises(ValueError, match="adds new noise in every step"):
        policies(Request("a", steps=20, solver="renoise"))


def test_a_request_s_own_step_cache_takes_the_place_of_the_policy_s():
    measured = Policy(20, (), cache=SkipSteps((1,)), miss_cache=SkipSteps((2,)))
    policies = requested(scaled(measured))
    assert policies(Request("a", steps=20)) == measured
    every = policies(Request("a", steps=20, step_cache="every"))
    assert every.cache == every.miss_cache == EveryStep()
