"""Export to diffusers' layout."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card
from convert import safetensors_files
from convert.__main__ import main
from convert.conversion import Order, convert, prepare
from convert.export import export, open_parts
from convert.opening import open_source


@pytest.fixture(scope="module")
def converted(diffusers_folder, kinds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "wan"
    source = open_source(diffusers_folder)
    convert(source, prepare(source, kinds, "float32"), folder)
    return folder


@pytest.mark.parametrize("shard", [10**10, 30_000], ids=["one file", "shards"])
def test_diffusers_loads_what_it_saved(
    pipeline, converted, kinds, tmp_path, monkeypatch, shard
):
    import torch
    from diffusers import WanPipeline

    monkeypatch.setattr(safetensors_files, "SHARD", shard)
    export(converted, open_parts(converted, kinds), tmp_path / "x", Order(verify=True))
    files = list((tmp_path / "x" / "transformer").glob("*.safetensors"))
    assert (len(files) > 1) == (shard < 10**6)
    loaded = WanPipeline.from_pretrained(tmp_path / "x", local_files_only=True)
    for part in ("transformer", "vae", "text_encoder"):
        ours, theirs = (getattr(x, part).state_dict() for x in (loaded, pipeline))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    for part in ("transformer", "vae", "scheduler"):
        ours, theirs = (public(getattr(x, part).config) for x in (loaded, pipeline))
        assert ours == theirs
    inputs = torch.ones(1, 4, 2, 4, 6), torch.tensor([500.0]), torch.ones(1, 5, 16)
    ours, theirs = (x.transformer(*inputs).sample for x in (loaded, pipeline))
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-3)
    prompt = "a cat walks"
    assert loaded.tokenizer(prompt).input_ids == pipeline.tokenizer(prompt).input_ids


def public(config):
    shown = {name: x for name, x in config.items() if not name.startswith("_")}
    return json.loads(json.dumps(shown))


def test_there_and_back_is_the_same(converted, kinds, tmp_path):
    export(converted, open_parts(converted, kinds), tmp_path / "x")
    source = open_source(tmp_path / "x")
    card = convert(source, prepare(source, kinds, "float32"), tmp_path / "y")
    assert card.fingerprint == Card.read(converted).fingerprint
    assert card.parts == Card.read(converted).parts


def test_merged_adapters_are_no_part_of_what_is_written(
    diffusers_folder, kinds, tmp_path
):
    source = open_source(diffusers_folder)
    merged = replace(source, settings={**source.settings, "adapters": ["a.pt:1"]})
    convert(merged, prepare(merged, kinds, "float32"), tmp_path / "y")
    assert Card.read(tmp_path / "y").settings["adapters"] == ["a.pt:1"]
    export(tmp_path / "y", open_parts(tmp_path / "y", kinds), tmp_path / "x")
    assert "adapters" not in open_source(tmp_path / "x").settings


def test_weights_that_came_without_a_scheduler(
    original_folder, converted, kinds, tmp_path
):
    source = open_source(original_folder)
    convert(source, prepare(source, kinds, "float32"), tmp_path / "y")
    export(tmp_path / "y", open_parts(tmp_path / "y", kinds), tmp_path / "x")
    assert open_source(tmp_path / "x").scheduler["flow_shift"] == 3.0


def test_bfloat16(diffusers_folder, kinds, tmp_path):
    source = open_source(diffusers_folder)
    convert(source, prepare(source, kinds, "bfloat16"), tmp_path / "y")
    parts = open_parts(tmp_path / "y", kinds)
    export(tmp_path / "y", parts, tmp_path / "x", Order(verify=True))
    tensors = open_source(tmp_path / "x").components["transformer"].tensors
    assert tensors["blocks.0.attn1.to_q.weight"].dtype.name == "bfloat16"


def test_another_transformer_of_the_same_folder(converted, kinds, tmp_path, capsys):
    parts = {
        name: checkpoints.load(converted, name, kind.model, kind.config)
        for name, kind in kinds.items()
    }
    parts["fast"] = jax.tree.map(lambda x: 2 * x, parts["transformer"])
    checkpoints.save(tmp_path / "two", parts, family="wan")
    shutil.copytree(converted / "tokenizer", tmp_path / "two" / "tokenizer")
    exported = {}
    for part, left in (("transformer", "fast"), ("fast", "transformer")):
        command = ["export", str(tmp_path / "two"), str(tmp_path / part), "--verify"]
        assert main([*command, "--transformer", part]) == 0
        assert f"\nleft out: {left} (see --transformer)\n" in capsys.readouterr().out
        tensors = open_source(tmp_path / part).components["transformer"].tensors
        exported[part] = tensors["blocks.0.attn1.to_q.weight"].read()
    np.testing.assert_array_equal(exported["fast"], 2 * exported["transformer"])
    assert main(["export", str(converted), str(tmp_path / "x")]) == 0
    assert "left out" not in capsys.readouterr().out
    command = ["export", str(converted), str(tmp_path / "y"), "--transformer", "fast"]
    assert main(command) == 1
    assert "no part 'fast'" in capsys.readouterr().err


def test_existing_folder(converted, kinds, tmp_path):
    with pytest.raises(ValueError, match="exists: remove it"):
        export(converted, open_parts(converted, kinds), tmp_path)


def test_not_a_checkpoint(diffusers_folder, kinds):
    with pytest.raises(ValueError, match="has no model.json: it is no converted model"):
        open_parts(diffusers_folder, kinds)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
from convert.__main__ import main
sys.exit(main(["export", *sys.argv[1:]]))
"""


def test_disk_that_fills_up(converted, tmp_path):
    command = [sys.executable, "-c", LIMITED, str(converted), str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert os.listdir(tmp_path) == []
