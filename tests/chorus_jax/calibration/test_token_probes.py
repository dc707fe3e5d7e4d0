"""Probes of a model with two experts and two streams, and the plan that they give."""

import jax
import numpy as np
import pytest

from chorus_jax.calibration.step_caches import CacheCalibration
from chorus_jax.calibration.token_groups import GroupedRun
from chorus_jax.calibration.token_probes import TokenProbes, planner_of
from chorus_jax.engine import Pipeline
from chorus_jax.intra_request import cache_file
from chorus_jax.intra_request.cache_file import MeasuredCache
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from tests.chorus_jax.families.toy.model import ToyModel

STEPS = 8


@pytest.fixture(scope="module")
def full():
    """The full runs of four requests."""
    from tests.chorus_jax.families.toy.test_seams import asked

    requests = [asked(steps=STEPS, seed=seed) for seed in range(4)]
    return CacheCalibration(Pipeline(ToyModel()), requests).record("planned-tokens")


@pytest.fixture(scope="module")
def grouped(full):
    runs = zip(full.requests, full.states)
    return [GroupedRun.grouped(full.runs, *run) for run in runs]


def test_groups_are_all_tokens_and_all_streams(grouped):
    run = grouped[0]
    assert sorted(run.order.tolist()) == list(range(len(run.order)))
    velocities = [x[0].reshape(STEPS, -1) for x in jax.tree.leaves(run.path.velocities)]
    want = sum(x @ x.T for x in velocities)
    np.testing.assert_allclose(run.products.sum(axis=0), want, rtol=1e-4, atol=1e-4)


def test_an_error_in_the_last_step_does_not_grow(full, grouped):
    """The sum of what the groups add is the error of holding all."""
    moves, [*_, last] = full.moves, range(STEPS)
    added = TokenProbes(grouped[0]).errors(last, float(moves[last]))
    now, before = grouped[0].at(last), grouped[0].at(last - 1)
    off = [
        np.square(moves[last] * (x - y)).sum()
        for x, y in zip(*map(jax.tree.leaves, (now.velocities, before.velocities)))
    ]
    np.testing.assert_allclose(added.sum(), sum(off), rtol=0.05)


def test_the_plan_is_written_and_runs(full, grouped, tmp_path):
    planner = planner_of(grouped[:1], full.records, full.moves, full.begins)
    plan = planner.planned(0.7 * STEPS)
    assert plan != PlannedTokens() and plan.shares[full.switch] == 1.0
    file = tmp_path / "cache.json"
    cache_file.write(file, MeasuredCache(plan, {}, {}, {}))
    again = cache_file.read(file).cache
    assert again == plan
    request = full.requests[0].changed(step_cache=again)
    assert request.token_budgets == plan.budgets
    [video] = full.runs.pipeline(request)
    assert np.isfinite(
        np.concatenate([x.ravel() for x in jax.tree.leaves(video.latents)])
    ).all()
