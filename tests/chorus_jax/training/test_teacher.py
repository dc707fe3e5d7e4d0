"""What was made from a teacher is not mixed with a teacher that was trained further."""

import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

from chorus_jax import checkpoints
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.training import saved
from chorus_jax.training.loop import start
from chorus_jax.training.runs import Runs
from chorus_jax.training.teacher import NOTE, check_teacher, note_teacher
from tests.chorus_jax.conftest import random_part

AGAIN = "another teacher than .* remove taught/ and distill/ .* teach and distill again"


def test_a_note_of_another_teacher_is_noticed(tmp_path):
    check_teacher(tmp_path, {"transformer": "a"})  # nothing is known of it
    note_teacher(tmp_path / "taught", {"transformer": "a"})
    check_teacher(tmp_path / "taught", {"transformer": "a"})
    with pytest.raises(ValueError, match=AGAIN):
        check_teacher(tmp_path / "taught", {"transformer": "b"})
    assert [path.name for path in (tmp_path / "taught").iterdir()] == [NOTE]


def teach(runs):
    """The folder of a few trajectories that nobody ran."""
    model, count = runs.teacher(), 64
    runs.taught.create(count, model, (3, 3, 24, 24, 3))
    rng, text = np.random.default_rng(0), np.zeros((count, 24, 16), np.float32)
    latents = rng.standard_normal((count, 3, 3, 24, 24, 3)).astype(np.float16)
    runs.taught.put(["a red circle"] * count, text, latents)


def train_further(runs):
    """As `flow --steps MORE` would."""
    state = saved.restore(
        saved.steps(runs.folder / "flow")[-1],
        start(runs.flow_job(), runs.recipe.train_flow.plan),
    )
    more = state._replace(average=jax.tree.map(lambda x: x + 0.01, state.average))
    saved.save(runs.folder / "flow", more, 1)


def begin(runs, job, plan, name, *others):
    """Saves the state before the first step of a stage."""
    saved.save(runs.folder / name, start(job, plan), 0)


@pytest.fixture(scope="module")
def untrained(recipe, tmp_path_factory):
    """A student of a teacher, both of them untrained."""
    runs = Runs(recipe, tmp_path_factory.mktemp("runs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runs, "run", begin)
        vae = random_part(WanVAE, replace(recipe.vae, dtype="float32"))
        checkpoints.save(runs.folder / "vae_model", {"vae": vae}, family="wan")
        begin(runs, runs.flow_job(), recipe.train_flow.plan, "flow")
        teach(runs)
        runs.distill()
    return runs


@pytest.fixture
def runs(untrained, tmp_path, monkeypatch):
    """A copy of it."""
    monkeypatch.setattr(Runs, "run", begin)
    shutil.copytree(untrained.folder, tmp_path / "copy")
    return replace(untrained, folder=tmp_path / "copy")


def test_a_teacher_that_was_trained_further_is_noticed(runs):
    runs.distill()
    runs.assemble()
    before = (runs.folder / "model" / "model.json").read_bytes()
    train_further(runs)
    for stage in (runs.teach, runs.distill, runs.assemble):
        with pytest.raises(ValueError, match=f"taught was made from {AGAIN}"):
            stage()
    assert (runs.folder / "model" / "model.json").read_bytes() == before


def test_a_student_of_the_former_teacher_is_noticed(runs):
    """Though there are trajectories of the newest teacher."""
    train_further(runs)
    shutil.rmtree(runs.taught.folder)
    teach(runs)
    for stage in (runs.distill, runs.assemble):
        with pytest.raises(ValueError, match=f"distill was made from {AGAIN}"):
            stage()
    # A note alone, of a student that never began, says nothing.
    [state] = saved.steps(runs.folder / "distill")
    shutil.rmtree(state)
    runs.distill()
    assert saved.steps(runs.folder / "distill") == [state]
    runs.distill()
