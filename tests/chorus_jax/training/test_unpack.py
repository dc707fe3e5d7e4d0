"""A finished model is taken apart once, however often that was stopped."""

import shutil
from dataclasses import replace

import pytest

from chorus_jax.checkpoints.folder import partial_folder
from chorus_jax.families.wan.parts import PARTS
from chorus_jax.training import runs as stages
from chorus_jax.training import saved
from chorus_jax.training.assemble import write_model
from chorus_jax.training.runs import Runs
from chorus_jax.training.unpack import unpack_tokenizer, unpack_vae
from tests.chorus_jax.conftest import random_part


@pytest.fixture(scope="module")
def model(recipe, tmp_path_factory):
    """A folder with a model of the recipe's sizes, and random weights."""
    runs = Runs(recipe, tmp_path_factory.mktemp("other"))
    runs.tokenizer()
    configs = {
        "transformer": recipe.transformer,
        "text_encoder": runs.text_config(),
        "vae": recipe.vae,
    }
    parts = {
        name: random_part(PARTS[name][0], replace(config, dtype="float32"))
        for name, config in configs.items()
    }
    write_model(runs.folder / "model", parts, runs.folder / "tokenizer")
    return runs.folder / "model"


def content(folder):
    """All files in a folder with their bytes."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("at", ["unpack_tokenizer", "flow_params", "saved.save"])
def test_a_stopped_one_is_resumed(at, model, recipe, tmp_path, monkeypatch):
    runs = Runs(recipe, tmp_path / "run")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        owner, name = (saved, "save") if at == "saved.save" else (stages, at)
        patch.setattr(owner, name, stop)
        runs.unpack(model)
    kept = content(runs.folder / "vae_model")
    # A kill leaves files that an error would have removed.
    if at == "unpack_tokenizer":
        half = partial_folder(runs.folder / "tokenizer")
        half.mkdir()
        (half / "tokenizer.json").write_text("{")
    runs.unpack(model)
    assert content(runs.folder / "vae_model") == kept
    assert content(runs.folder / "tokenizer") == content(model / "tokenizer")
    assert [path.name for path in saved.steps(runs.folder / "flow")] == ["step-0000000"]
    names = {path.name for path in runs.folder.iterdir()}
    assert names == {"vae_model", "tokenizer", "flow"}
    with pytest.raises(ValueError, match="a run already.*--out"):
        runs.unpack(model)


def test_a_stopped_copy_leaves_no_tokenizer(model, tmp_path, monkeypatch):
    def stop(source, target, **_):
        (target / "tokenizer.json").write_text("{")
        raise OSError("no space left")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(shutil, "copytree", stop)
        unpack_tokenizer(model, tmp_path / "tokenizer")
    assert not [*tmp_path.iterdir()]
    unpack_tokenizer(model, tmp_path / "tokenizer")
    unpack_tokenizer(model, tmp_path / "tokenizer")


def test_parts_of_another_model_are_refused(model, weights, tmp_path):
    unpack_vae(model, tmp_path / "vae_model")
    unpack_tokenizer(model, tmp_path / "tokenizer")
    for unpack, name in ((unpack_vae, "vae_model"), (unpack_tokenizer, "tokenizer")):
        with pytest.raises(ValueError, match=f"{name} is not that of .*/tiny: .*--out"):
            unpack(weights, tmp_path / name)
    (tmp_path / "tokenizer" / "tokenizer_config.json").unlink()
    with pytest.raises(ValueError, match="of another model, or incomplete; remove it"):
        unpack_tokenizer(model, tmp_path / "tokenizer")
