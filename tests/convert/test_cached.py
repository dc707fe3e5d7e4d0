"""Models as published, converted once into a cache folder: loaded, found, resumed."""

import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import chorus_jax as cj
from chorus_jax.checkpoints import Card
from chorus_jax.checkpoints.folder import partial_folder
from chorus_jax.engine.source_files import folder_of
from convert import cached, conversion
from convert.source import DIFFUSERS, ORIGINAL
from tests.convert import made


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Single files of a Wan 2.1."""
    folder = tmp_path_factory.mktemp("single")
    wan = made.state("transformer", ORIGINAL, made.WAN21)
    save_file(wan, folder / "wan.safetensors")
    vae = made.state("vae", ORIGINAL, made.OLD_VAE)
    save_file(vae, folder / "vae.safetensors")
    text = made.state("text_encoder", DIFFUSERS, made.text_config(48))
    spiece = np.frombuffer(made.words(48), np.uint8)
    save_file({**text, "spiece_model": spiece}, folder / "umt5.safetensors")
    return folder


def given(files, cache, **changes):
    parts = {
        "vae": files / "vae.safetensors",
        "text_encoder": files / "umt5.safetensors",
    }
    return cj.SourceFiles(parts, cache=cache, **changes)


def test_a_file_is_converted_once_and_loads(files, tmp_path):
    said = []
    names = (files / "wan.safetensors", given(files, tmp_path), "float32")
    folder = folder_of(*names, said.append)
    assert len(said) == 1 and "is converted, once, into" in said[0]
    before = (folder / "model.json").stat().st_mtime_ns
    assert folder_of(*names, said.append) == folder
    assert len(said) == 1
    pipeline = cj.load(names[0], files=names[1], dtype="float32")
    assert (folder / "model.json").stat().st_mtime_ns == before
    assert pipeline.fingerprints["vae"] == Card.read(folder).part("vae").fingerprint
    assert {path.name for path in tmp_path.iterdir()} == {folder.name, cached.DIGESTS}


def test_other_files_and_options_give_another_folder(files, tmp_path):
    first = folder_of(files / "wan.safetensors", given(files, tmp_path))
    moved = tmp_path / "moved.safetensors"
    moved.write_bytes((files / "wan.safetensors").read_bytes())
    same = folder_of(moved, given(files, tmp_path))
    assert same.name.rpartition("-")[2] == first.name.rpartition("-")[2]
    state = load_file(moved)
    state["head.head.bias"] = state["head.head.bias"] + 1
    save_file(state, moved)
    base = state["blocks.0.self_attn.q.weight"]
    width = base.shape[0]
    lora = {
        "diffusion_model.blocks.0.self_attn.q.lora_down.weight": np.ones(
            (1, width), "f4"
        ),
        "diffusion_model.blocks.0.self_attn.q.lora_up.weight": np.ones(
            (width, 1), "f4"
        ),
    }
    save_file(lora, tmp_path / "lora.safetensors")
    path = files / "wan.safetensors"
    folders = {first, folder_of(moved, given(files, tmp_path))}
    folders.add(folder_of(path, given(files, tmp_path), "float32"))
    for strength in ("", ":0.5"):
        adapters = [f"{tmp_path / 'lora.safetensors'}{strength}"]
        folder = folder_of(path, given(files, tmp_path, adapters=adapters), "float32")
        folders.add(folder)
        assert Card.read(folder).settings["adapters"]
    assert len(folders) == 5
    prints = {Card.read(f).part("transformer").fingerprint for f in folders}
    assert len(prints) == 5


def test_what_cannot_be_converted_leaves_nothing(files, tmp_path):
    with pytest.raises(ValueError, match="only a part of a model"):
        cj.load(files / "wan.safetensors", files=cj.SourceFiles(cache=tmp_path / "x"))
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="neither a file, a folder nor the name"):
        cj.load(tmp_path / "nothing")


def test_parts_beside_a_converted_folder_are_refused():
    with pytest.raises(ValueError, match="is converted already"):
        cj.load("shapes", adapters="lora.safetensors")


KILLED = """
import os, signal, sys
from pathlib import Path
import chorus_jax as cj
from chorus_jax.engine.source_files import folder_of
from convert import conversion
real, count = conversion.write_arrays, []
def write_arrays(*arguments):
    count.append(1)
    if len(count) == 2:
        (arguments[0]).mkdir()
        (arguments[0] / "half").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
conversion.write_arrays = write_arrays
files, cache = Path(sys.argv[1]), Path(sys.argv[2])
parts = {"vae": files / "vae.safetensors", "text_encoder": files / "umt5.safetensors"}
folder_of(files / "wan.safetensors", cj.SourceFiles(parts, cache=cache), "float32")
"""


@pytest.mark.parametrize("damaged", [False, True])
def test_a_killed_conversion_goes_on(files, tmp_path, monkeypatch, damaged):
    command = [sys.executable, "-c", KILLED, str(files), str(tmp_path)]
    assert subprocess.run(command, capture_output=True).returncode == -9
    [left] = [path for path in tmp_path.iterdir() if path.is_dir()]
    with pytest.raises(ValueError, match="has no model.json"):
        Card.read(left)
    if damaged:
        block = max((left / "transformer").rglob("*"), key=lambda p: p.stat().st_size)
        block.write_bytes(bytes(block.stat().st_size))
    written = []
    real = conversion.write_arrays
    monkeypatch.setattr(
        conversion, "write_arrays", lambda *a: written.append(a[0].name) or real(*a)
    )
    path = files / "wan.safetensors"
    folder = folder_of(path, given(files, tmp_path), "float32")
    assert written == ["transformer"] * damaged + ["vae", "text_encoder"]
    assert partial_folder(folder) == left and not left.exists()
    assert not list(folder.glob("*.finished.json"))
    whole = folder_of(path, given(files, tmp_path / "anew"), "float32")
    assert Card.read(folder).fingerprint == Card.read(whole).fingerprint
    assert sorted(os.listdir(folder)) == sorted(os.listdir(whole))
    cj.load(folder)
