"""The command line."""

import os
from dataclasses import replace

import pytest

from chorus_jax.checkpoints import shipped
from convert.__main__ import main
from convert.families import FAMILIES


def test_there_and_back(diffusers_folder, tmp_path, capsys):
    there, back = str(tmp_path / "x"), str(tmp_path / "y")
    assert main(["wan", str(diffusers_folder), there, "--verify"]) == 0
    out = capsys.readouterr().out
    assert "transformer: 42 arrays, 24,556 parameters, 0.000 GB, bfloat16" in out
    assert "fingerprint " in out and "tensors are equal to the source's" in out
    assert main(["export", there, back, "--verify"]) == 0
    assert "in diffusers' layout, " in capsys.readouterr().out
    assert sorted(os.listdir(back)) == [
        "model_index.json",
        "scheduler",
        "text_encoder",
        "tokenizer",
        "transformer",
        "vae",
    ]


def test_dry_run_writes_nothing(diffusers_folder, tmp_path, capsys):
    command = ["wan", str(diffusers_folder), str(tmp_path / "x"), "--dry-run"]
    assert main([*command, "--dtype", "float32"]) == 0
    assert "transformer: 42 arrays, 24,556 parameters" in capsys.readouterr().out
    assert os.listdir(tmp_path) == []


def test_dry_run_lists_what_does_not_match(folder, tmp_path, capsys):
    import json

    file = folder / "transformer" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_layers": 2}))
    assert main(["wan", str(folder), str(tmp_path / "x"), "--dry-run"]) == 1
    captured = capsys.readouterr()
    assert "transformer: 42 arrays" in captured.out
    assert "extra: blocks.2.attn1.to_q.weight (float32 [24, 24])" in captured.err


def test_interrupt_is_one_line_and_code_130(tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    stopped = replace(FAMILIES["wan"], open=stop)
    monkeypatch.setattr("convert.__main__.FAMILIES", {**FAMILIES, "wan": stopped})
    assert main(["wan", str(tmp_path), str(tmp_path / "x")]) == 130
    assert capsys.readouterr().err == "error: stopped\n"


@pytest.mark.parametrize("command", ["wan", "ltx", "ltx2", "export"])
def test_errors_are_one_line_and_code_1(tmp_path, capsys, command):
    assert main([command, str(tmp_path), str(tmp_path / "x")]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} ")


def test_shipped_weights_are_exported_by_name(tmp_path, capsys):
    # Its folder is there already: found, and refused before anything is read.
    assert main(["export", "shapes", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path} exists")


@pytest.mark.parametrize("source", ["shapes", str(shipped.folder())])
def test_a_converted_model_is_not_converted_again(source, tmp_path, capsys):
    assert main(["wan", source, str(tmp_path / "x")]) == 1
    assert f"{source} is converted already: give it to" in capsys.readouterr().err
