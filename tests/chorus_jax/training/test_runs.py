"""Every stage in the smallest size, from scratch to a video."""

import json
from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.checkpoints import Card
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.request import Request
from chorus_jax.training import saved
from chorus_jax.training.runs import Runs

# All stages take more than a minute; files beside this one test each of them alone.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(recipe, tmp_path_factory):
    runs = Runs(recipe, tmp_path_factory.mktemp("runs"))
    runs.vae()
    runs.encode()
    runs.flow()
    runs.teach()
    runs.distill()
    runs.assemble()
    return runs


@pytest.mark.parametrize("name", ["vae", "flow", "distill"])
def test_the_loss_falls(trained, name):
    lines = (trained.folder / name / "loss.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == 12
    assert np.mean(losses[-3:]) < 0.95 * np.mean(losses[:3])
    assert (trained.folder / name / "loss.png").stat().st_size > 0
    assert len(saved.steps(trained.folder / name)) == 1


def test_probes_are_taken(trained):
    [row] = (trained.folder / "vae" / "probe.jsonl").read_text().splitlines()
    assert json.loads(row).keys() == {"step", "psnr", "psnr_lowest", "detail"}
    [row] = (trained.folder / "flow" / "probe.jsonl").read_text().splitlines()
    assert {"right_0.5", "wrong_0.5", "none_0.5"} < json.loads(row).keys()


def test_latents_are_normalised(trained):
    latents = np.asarray(trained.encoded.latents(), np.float32)
    assert latents.shape == (6, 3, 24, 24, 3)
    np.testing.assert_allclose(latents.mean((0, 1, 2, 3)), 0, atol=0.4)
    np.testing.assert_allclose(latents.std((0, 1, 2, 3)), 1, atol=0.4)


def test_the_assembled_folder_makes_a_video(trained):
    folder = trained.folder / "model"
    assert {part.dtype for part in Card.read(folder).parts.values()} == {"bfloat16"}
    pipeline = Pipeline.load(folder, dtype="float32")
    request = Request("a red circle grows", "", 5, 48, 48, steps=2, seed=0)
    [video] = pipeline(request)
    assert video.frames.shape == (5, 48, 48, 3)


def test_stages_that_are_done_do_nothing(trained):
    files = {path: path.stat().st_mtime_ns for path in trained.folder.rglob("*.zarray")}
    trained.vae()
    trained.encode()
    trained.flow()
    assert files == {
        path: path.stat().st_mtime_ns for path in trained.folder.rglob("*.zarray")
    }


def test_assembling_again_replaces(trained):
    first = Card.read(trained.folder / "model").fingerprint
    assert trained.assemble().fingerprint == first


def test_a_finished_model_is_trained_further(trained, recipe, tmp_path):
    runs = Runs(recipe, tmp_path / "again")
    runs.encoded.folder.parent.mkdir()
    runs.encoded.folder.symlink_to(trained.encoded.folder)
    runs.unpack(trained.folder / "model")
    [state] = saved.steps(runs.folder / "flow")
    assert state.name == "step-0000000"
    found, want = runs.flow_averaged(), trained.flow_averaged()
    assert found.keys() == want.keys()
    for name, x in found.items():
        # What reads targets off the models is thrown away after a training.
        thrown_away = name.startswith(("structure.", "naming."))
        known = np.zeros(x.shape) if thrown_away else want[name]
        np.testing.assert_allclose(x, known, rtol=0.01, atol=1e-6)
    first = Card.read(trained.folder / "model").part("vae").config
    assert (
        Card.read(runs.folder / "vae_model").part("vae").config["latents_mean"]
        == (first["latents_mean"])
    )
    with pytest.raises(ValueError, match="a run already.*--out"):
        runs.unpack(trained.folder / "model")


def test_trajectories_of_two_teachers_do_not_mix(trained):
    path = trained.taught.folder / "teacher.json"
    teacher = path.read_text()
    assert json.loads(teacher).keys() == {"transformer", "text_encoder", "vae"}
    trained.teach()
    path.write_text(teacher.replace('"vae": "', '"vae": "f'))
    with pytest.raises(
        ValueError, match="another teacher.*remove taught/ and distill/"
    ):
        trained.teach()
    path.write_text(teacher)


def test_a_model_of_other_sizes_is_not_trained_further(trained, recipe, tmp_path):
    one = replace(recipe.transformer, heads=1, head_width=16)
    runs = Runs(replace(recipe, transformer=one), tmp_path / "again")
    with pytest.raises(ValueError, match="heads=2.*but the recipe has.*heads=1"):
        runs.unpack(trained.folder / "model")
    assert not runs.folder.exists()


def test_flow_needs_encoded_clips(recipe, tmp_path):
    with pytest.raises(ValueError, match="encode"):
        Runs(recipe, tmp_path).flow()
