"""Safetensors written tensor by tensor, read by the library."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

from convert import safetensors_files
from convert.safetensors_files import Outgoing, write_shards

STATE = {
    "a": np.arange(12, dtype=np.float32).reshape(4, 3),
    "b": np.arange(4).astype(ml_dtypes.bfloat16),
    "c": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}


@pytest.fixture
def outgoing():
    def blocks(value):
        return lambda: iter(np.array_split(value, 2))

    return [Outgoing(k, v.shape, v.dtype, blocks(v)) for k, v in STATE.items()]


def same(found):
    assert found.keys() == STATE.keys()
    for name, value in STATE.items():
        np.testing.assert_array_equal(found[name], value)
        assert found[name].dtype == value.dtype


def test_one_file(tmp_path, outgoing):
    write_shards(tmp_path, "model", outgoing)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    same(load_file(tmp_path / "model.safetensors"))


def test_shards(tmp_path, outgoing, monkeypatch):
    monkeypatch.setattr(safetensors_files, "SHARD", 56)
    write_shards(tmp_path, "model", outgoing)
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 80}
    files = sorted(set(index["weight_map"].values()))
    assert files == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    found = {}
    for file in files:
        part = load_file(tmp_path / file)
        assert all(index["weight_map"][name] == file for name in part)
        found |= part
    same(found)
