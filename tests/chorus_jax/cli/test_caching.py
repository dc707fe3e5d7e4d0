"""The cache options: a policy of other weights is warned of, and runs."""

from types import SimpleNamespace

import pytest

from chorus_jax.cli.caching import policies_of
from chorus_jax.cli.options import parser
from chorus_jax.engine import Pipeline
from chorus_jax.inter_request.policy import policy_file
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.inter_request.policy.policy_file import Measured
from chorus_jax.request import Request


@pytest.mark.parametrize("weights, warned", [("b", True), ("a", False)])
def test_a_policy_of_other_weights_is_warned_of(weights, warned, tmp_path, caplog):
    file = tmp_path / "policy.json"
    policy_file.write(file, Measured(default_policy(4), {"vae": weights}))
    command = ["generate", "a", "--cache", "c", "--policy", str(file)]
    pipeline = object.__new__(Pipeline)
    pipeline.model = SimpleNamespace(fingerprints={"vae": "a"})
    policies = policies_of(parser().parse_args(command), pipeline)
    assert policies(Request("a", steps=4)) == default_policy(4)
    assert ("other weights" in caplog.text) == warned
