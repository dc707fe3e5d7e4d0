"""Reading safetensors."""

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from convert.tensors import by_name, read_safetensors

STATE = {
    "a": np.arange(12, dtype=np.float32).reshape(4, 3),
    "b": np.arange(4).astype(ml_dtypes.bfloat16),
    "c": np.asarray(2.5, np.float16),
    "d": np.arange(3, dtype=np.int64),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.fixture
def file(tmp_path):
    save_file(STATE, tmp_path / "x.safetensors", metadata={"format": "pt"})
    return tmp_path / "x.safetensors"


def test_values(file):
    tensors = by_name(read_safetensors(file))
    assert tensors.keys() == STATE.keys()
    for name, value in STATE.items():
        assert tensors[name].dtype == value.dtype
        np.testing.assert_array_equal(tensors[name].read(), value)
    np.testing.assert_array_equal(tensors["a"].read(slice(1, 3)), STATE["a"][1:3])


def test_truncated_file(file):
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ValueError, match="x.safetensors is truncated") as caught:
        read_safetensors(file)
    assert f"expected at least {size} bytes, found {size - 7}" in str(caught.value)


def test_truncated_while_open(file):
    tensors = by_name(read_safetensors(file))
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(ValueError, match="is truncated"):
        for tensor in tensors.values():
            tensor.read()


@pytest.mark.parametrize("count", [0, 5, 20])
def test_truncated_header(file, count):
    file.write_bytes(file.read_bytes()[:count])
    with pytest.raises(ValueError, match="truncated|header is damaged"):
        read_safetensors(file)


def test_not_safetensors(file):
    file.write_bytes(b"<!DOCTYPE html> a page of a login")
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_safetensors(file)


def header(file, entries):
    text = json.dumps(entries).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(64))


def test_sizes_that_disagree(file):
    header(file, {"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}})
    with pytest.raises(ValueError, match=r"a has 8 bytes, but F32 \[3\] has 12"):
        read_safetensors(file)


def test_unknown_dtype(file):
    header(file, {"a": {"dtype": "F3", "shape": [3], "data_offsets": [0, 8]}})
    with pytest.raises(ValueError, match="a has the unknown dtype F3"):
        read_safetensors(file)


GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "its header is no object"),
        ({"__metadata__": ["config"]}, "its metadata are not texts by name"),
        ({"__metadata__": {"config": 7}}, "its metadata are not texts by name"),
        ({"x": 3}, "the entry of x is damaged"),
        ({"x": {"dtype": "F32", "shape": [2]}}, "damaged: KeyError.'data_offsets'"),
        ({"x": GOOD | {"data_offsets": [0]}}, "the entry of x is damaged"),
        ({"x": GOOD | {"data_offsets": [-8, 0]}}, r"bytes \[-8, 0\]: the header is"),
        ({"x": GOOD | {"shape": [-1, -2]}}, r"shape \[-1, -2\] and the bytes"),
        ({"x": GOOD | {"shape": 2}}, "the entry of x is damaged"),
        ({"x": GOOD | {"dtype": ["F32"]}}, "x has the unknown dtype"),
    ],
)
def test_damaged_header(file, entries, message):
    header(file, entries)
    with pytest.raises(ValueError, match=message):
        read_safetensors(file)


def test_name_in_two_files(file):
    with pytest.raises(ValueError, match="is both in .* remove the shard"):
        by_name([*read_safetensors(file), *read_safetensors(file)])


TWO = {
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]},
}


def written(path, header, size):
    """A safetensors file with this text as its header and so many bytes."""
    text = header.encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    return path


def moved(first, last):
    """The header with the second tensor elsewhere."""
    return json.dumps({**TWO, "b": {**TWO["b"], "data_offsets": [first, last]}})


@pytest.mark.parametrize(
    ("header", "size", "message"),
    [
        (moved(4, 12), 12, "overlaps the one before"),
        (moved(0, 8), 8, "overlaps the one before"),
        (moved(12, 20), 20, "leaves a hole"),
        (json.dumps(TWO), 20, "4 bytes follow its last tensor"),
        (json.dumps(TWO)[:-1] + ', "a": ' + json.dumps(TWO["a"]) + "}", 16, "a twice"),
    ],
    ids=["overlap", "same place", "hole", "trailing", "equal names"],
)
def test_bytes_are_of_one_tensor_each(tmp_path, header, size, message):
    with pytest.raises(ValueError, match=message):
        read_safetensors(written(tmp_path / "x.safetensors", header, size))


def test_tensors_in_any_order_of_the_header(tmp_path):
    header = json.dumps(dict(reversed(TWO.items())))
    assert len(read_safetensors(written(tmp_path / "x.safetensors", header, 16))) == 2
