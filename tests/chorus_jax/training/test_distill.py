"""Distillation: stored trajectories of the teacher, and the student's targets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.request import Request
from chorus_jax.schedulers import explicit
from chorus_jax.training import distill
from chorus_jax.training.distill import DistillJob, LeapBatches
from chorus_jax.training.flow import at_scales
from chorus_jax.training.initial_flow import TRANSFORMER, initial_transformer
from chorus_jax.training.params import of_part
from chorus_jax.training.plan import TrainingPlan
from chorus_jax.training.recipe import DistillTraining
from chorus_jax.training.teach import Taught, fine_sigmas

TRAINING = DistillTraining(
    TrainingPlan(4, 6, 1e-2, warmup=2),
    trajectories=70,
    sigmas=(1.0, 0.5, 0.25),
    parts=2,
)


@pytest.fixture
def taught(tmp_path):
    """Trajectories that are straight lines from noise to twos."""
    rng, folder = np.random.default_rng(0), tmp_path / "taught"
    noise = rng.standard_normal((70, 1, 3, 12, 12, 3)).astype(np.float32)
    levels = np.array(explicit(TRAINING.sigmas, TRAINING.shift).sigmas, np.float32)
    level = levels[None, :, None, None, None, None]
    folder.mkdir()
    np.save(folder / "latents.npy", (level * noise + (1 - level) * 2).astype("f2"))
    np.save(folder / "text.npy", rng.standard_normal((70, 24, 16)).astype("f4"))
    (folder / "captions.jsonl").write_text('"a red circle"\n' * 70)
    return Taught(folder), noise[:, 0]


def test_fine_sigmas_hold_the_coarse_ones():
    fine = fine_sigmas((1.0, 0.75, 0.5, 0.25), 5)
    assert len(fine) == 20
    assert fine[::5] == (1.0, 0.75, 0.5, 0.25)
    shifted = explicit(fine, 3.0).sigmas[::5]
    assert shifted == explicit((1.0, 0.75, 0.5, 0.25), 3.0).sigmas
    request = Request("", steps=fine, solver="euler", shift=3.0)
    assert request.make_solver().schedule.steps == 20


def test_a_leap_is_the_velocity_between_two_levels(taught):
    batches = LeapBatches(taught[0], TRAINING)
    for level in range(3):
        leaps = batches.leaps(np.arange(5), np.full(5, level))
        np.testing.assert_allclose(leaps.velocity, taught[1][:5] - 2, atol=0.02)
        assert leaps.sigmas.tolist() == [batches.sigmas[level]] * 5
        assert np.abs(leaps.text - taught[0].text()[:5]).max() == 0


def test_batches_are_a_function_of_the_step_and_spare_the_probed(taught):
    batches = LeapBatches(taught[0], TRAINING)
    first, again = batches(3), LeapBatches(taught[0], TRAINING)(3)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert sorted(first.sigmas.tolist()) == sorted(2 * batches.sigmas[:3].tolist())
    probed = taught[0].text()[-distill.PROBED :]
    for step in range(20):
        assert not (batches(step).text[:, None] == probed).all((2, 3)).any()


def test_the_student_starts_as_the_teacher_and_learns(taught, recipe):
    teacher = initial_transformer(recipe.transformer, 0)
    batches = LeapBatches(taught[0], TRAINING)
    job = DistillJob(recipe.transformer, of_part(TRANSFORMER, teacher), batches)
    params = job.initial()
    jax.tree.map(np.testing.assert_array_equal, params, teacher)
    # At first the model says nothing, so the error is the velocity itself.
    batch = jax.tree.map(jnp.asarray, batches(0))
    error = jax.jit(lambda p: job.loss(p, batch, jax.random.key(0))[0])
    loss = error(params)
    want = at_scales(batch.velocity, (1, 2, 4))
    np.testing.assert_allclose(loss, want, rtol=1e-4)
    assert job.probe(params).keys() == {"level_0", "level_1", "level_2"}
    gradient = jax.grad(error)(params)
    step = {k: params[k] - 0.01 * jnp.sign(x) for k, x in gradient.items()}
    assert error(step) < loss


def test_too_few_trajectories_are_refused(taught):
    path = taught[0].folder / "captions.jsonl"
    path.write_text('"a red circle"\n' * 40)
    with pytest.raises(ValueError, match="holds 40 trajectories.*takes 64 or more"):
        LeapBatches(taught[0], TRAINING)(0)
    path.unlink()
    with pytest.raises(ValueError, match="no trajectories: run .* teach"):
        LeapBatches(taught[0], TRAINING)(0)
