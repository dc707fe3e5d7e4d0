"""Errors of single steps, as a planner measures them in further runs."""

import jax
import numpy as np
import pytest

from chorus_jax.calibration import step_probes
from chorus_jax.calibration.recorded_run import RecordedRun
from chorus_jax.calibration.sensitivity import PathRecorder, path_of
from chorus_jax.calibration.step_caches import CacheCalibration
from chorus_jax.calibration.step_plans import growth_of
from chorus_jax.calibration.step_probes import StepProbes, squared
from chorus_jax.engine import Pipeline
from tests.chorus_jax.families.toy.model import ToyModel

STEPS = 8


@pytest.fixture(scope="module")
def full():
    """The full runs of four requests, by Euler's method: an error in the last step is
    the step's move times the error of its velocity."""
    from tests.chorus_jax.families.toy.test_seams import asked

    requests = [asked(steps=STEPS, seed=seed, solver="euler") for seed in range(4)]
    return CacheCalibration(Pipeline(ToyModel()), requests).record("planned")


@pytest.fixture(scope="module")
def probes(full):
    request = full.requests[0]
    state, _ = full.runs.run(request, PathRecorder(STEPS))
    return StepProbes(RecordedRun(full.runs, request, path_of(state)))


def test_an_error_in_the_last_step_does_not_grow(full, probes):
    [*_, move] = full.moves
    now, before = probes.run.at(STEPS - 1), probes.run.at(STEPS - 2)
    made = move**2 * squared(now.velocities, before.velocities)
    error = probes.error(STEPS - 1, float(move))
    np.testing.assert_allclose(error, made, rtol=0.01)


def test_steps_of_both_experts_are_probed(full, probes):
    assert 0 < full.switch < STEPS - 1
    for step in (full.switch - 1, full.switch + 1):
        assert probes.error(step, float(full.moves[step])) > 0


def test_small_errors_grow_in_proportion(full, probes, monkeypatch):
    """So the measured growth does not depend on how far an error is enlarged."""
    errors = []
    for far in (1e-2, 1e-3):
        monkeypatch.setattr(step_probes, "FAR", far)
        errors.append(probes.error(5, float(full.moves[5])))
    np.testing.assert_allclose(*errors, rtol=0.1)


def test_the_planner_has_a_growth_for_every_step(full):
    growth = full.planner().growth
    assert growth.shape == (STEPS,)
    assert np.isfinite(growth).all() and (growth > 0).all()
    assert growth[-1] == pytest.approx(1.0, rel=0.05)


def test_steps_that_change_nothing_tell_nothing():
    same = np.ones((4, 4))
    moves = np.full(4, -0.25)
    np.testing.assert_array_equal(growth_of(same, moves, {1: 0.0, 3: 0.0}), np.ones(4))
    changed = np.diag([1.0, 1.0, 1.0, 1.0])
    growth = growth_of(changed, moves, {1: 0.0, 2: 2 * 2 * 0.25**2})
    np.testing.assert_allclose(growth, np.full(4, 2.0))


def test_the_record_has_the_latents_that_steps_begin_from(full, probes):
    """Euler's step from one recorded point leads to the next."""
    now, after = probes.run.at(2), probes.run.at(3)
    move = full.moves[2]
    want = jax.tree.map(lambda x, v: x + move * v, now.latents, now.velocities)
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, after.latents, want)
