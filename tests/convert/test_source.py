"""Detecting the layout of a source folder."""

import json
import os
import shutil

import pytest

from convert.opening import open_source
from convert.source import sha256


def test_diffusers(diffusers_folder):
    source = open_source(diffusers_folder)
    assert {part.layout for part in source.components.values()} == {"diffusers"}
    assert source.components.keys() == {"transformer", "vae", "text_encoder"}
    assert source.tokenizer.place == diffusers_folder / "tokenizer"
    assert source.scheduler["use_flow_sigmas"]
    names = {str(file.relative_to(source.folder)) for file in source.files()}
    assert {"vae/config.json", "scheduler/scheduler_config.json"} <= names


def test_original(original_folder):
    source = open_source(original_folder)
    assert source.components["transformer"].layout == "original"
    assert source.components.keys() == {"transformer", "vae", "text_encoder"}
    assert source.tokenizer.place == original_folder / "google" / "umt5-xxl"
    assert source.scheduler is None
    names = {str(file.relative_to(source.folder)) for file in source.files()}
    assert {"Wan2.1_VAE.pth", "config.json", "google/umt5-xxl/tokenizer.json"} <= names


def test_no_wan(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    said = "is no model of Wan, LTX-Video and LTX-2: looked for model_index.json"
    with pytest.raises(ValueError, match=said) as e:
        open_source(tmp_path)
    assert "Wan2.1_VAE.pth, Wan2.2_VAE.pth, models_t5_umt5" in str(e.value)
    assert str(e.value).endswith("found notes.txt")
    with pytest.raises(ValueError, match="no such file or folder"):
        open_source(tmp_path / "nowhere")


def index(folder, **changes):
    content = json.loads((folder / "model_index.json").read_text()) | changes
    (folder / "model_index.json").write_text(json.dumps(content))


def test_other_pipeline(folder):
    index(folder, _class_name="FluxPipeline")
    with pytest.raises(ValueError, match="describes a FluxPipeline, expected a WanPip"):
        open_source(folder)


def test_pipeline_with_more_parts(folder):
    index(folder, vace=["diffusers", "WanVACETransformer3DModel"])
    with pytest.raises(ValueError, match="parts that are not known: vace"):
        open_source(folder)


@pytest.mark.parametrize("name", ["vae", "tokenizer", "text_encoder/config.json"])
def test_incomplete(folder, name):
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(
        ValueError, match=f"{name} is missing: the source is incomplete"
    ):
        open_source(folder)


def test_incomplete_original(original_folder, tmp_path):
    folder = shutil.copytree(original_folder, tmp_path / "source")
    os.unlink(folder / "models_t5_umt5-xxl-enc-bf16.pth")
    with pytest.raises(ValueError, match="enc-bf16.pth is missing"):
        open_source(folder)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_damaged_json(folder, text):
    (folder / "vae" / "config.json").write_text(text)
    with pytest.raises(ValueError, match="vae/config.json (is damaged|holds no JSON)"):
        open_source(folder)


def test_several_files_without_an_index(folder):
    part = folder / "transformer"
    (part / "diffusion_pytorch_model.safetensors.index.json").unlink()
    with pytest.raises(ValueError, match="one .safetensors file, or several with one"):
        open_source(folder)


@pytest.mark.parametrize("places", [["a"], {"a": 3}, None])
def test_damaged_index(folder, places):
    file = next((folder / "transformer").glob("*.index.json"))
    file.write_text(json.dumps({"weight_map": places}))
    with pytest.raises(ValueError, match="index.json is damaged: its weight_map"):
        open_source(folder)


def test_empty_tokenizer(folder):
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="tokenizer holds no tokenizer: looked for"):
        open_source(folder)


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    seen = []
    digest = sha256(tmp_path / "x", seen.append)
    assert digest.startswith("ba7816bf8f01cfea414140de5dae2223") and seen == [3]


@pytest.mark.parametrize("name", ["../x.safetensors", "/x.safetensors", "a/b"])
def test_an_index_that_names_a_file_elsewhere(folder, name):
    index = next((folder / "transformer").glob("*.index.json"))
    content = json.loads(index.read_text())
    content["weight_map"] = dict.fromkeys(content["weight_map"], name)
    index.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="which is no file beside it"):
        open_source(folder)


@pytest.mark.parametrize("name", ["x", "tokenizer_config.json", "deep/x"])
def test_a_link_out_of_the_tokenizer_is_refused(folder, tmp_path, name):
    outside = tmp_path / "secret"
    outside.write_text("of somebody else")
    path = folder / "tokenizer" / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(outside)
    with pytest.raises(ValueError, match="is a link to .*secret, out of its folder"):
        open_source(folder)


def test_links_within_a_hub_cache_are_followed(diffusers_folder, tmp_path):
    """snapshots/REVISION/tokenizer/x is a link to blobs/DIGEST there."""
    hub = tmp_path / "models--a--b"
    place = hub / "snapshots" / "1"
    shutil.copytree(diffusers_folder, place)
    (hub / "blobs").mkdir()
    for i, path in enumerate(sorted((place / "tokenizer").iterdir())):
        blob = hub / "blobs" / str(i)
        path.rename(blob)
        path.symlink_to(os.path.relpath(blob, path.parent))
    assert open_source(place).tokenizer.place.name == "tokenizer"


def test_links_to_folders_and_pipes_are_no_part_of_a_tokenizer(folder):
    """Two links to the folder that they are in lead around without end."""
    (folder / "tokenizer" / "again").symlink_to(".")
    with pytest.raises(ValueError, match="again is a link to a folder"):
        open_source(folder)
    (folder / "tokenizer" / "again").unlink()
    os.mkfifo(folder / "tokenizer" / "pipe")
    with pytest.raises(ValueError, match="pipe is a pipe or a device"):
        open_source(folder)


@pytest.mark.parametrize("name", ["vae/config.json", "tokenizer/tokenizer.json"])
def test_a_file_that_is_a_device_is_refused(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="pipe or a device|out of its folder"):
        open_source(folder)


def test_weights_that_are_a_pipe_are_refused(folder):
    [file] = (folder / "vae").glob("*.safetensors")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ValueError, match="is a pipe or a device"):
        open_source(folder)


def test_json_that_is_nested_deeply(folder):
    (folder / "vae" / "config.json").write_text("[" * 10**5)
    with pytest.raises(ValueError, match="config.json is damaged: it is nested too"):
        open_source(folder)
