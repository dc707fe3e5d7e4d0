"""Weights in 8-bit floats with scales, as ComfyUI and lightx2v keep them."""

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from convert.weight_files import read_weights

FLOAT8 = ml_dtypes.float8_e4m3fn


def weights(tmp_path, **tensors):
    # The library's writer knows no float8; ours writes what its reader knows.
    from convert.safetensors_files import Outgoing, write_file

    named = {name.replace("__", "."): x for name, x in tensors.items()}
    outgoing = [
        Outgoing(n, x.shape, x.dtype, lambda x=x: [x]) for n, x in named.items()
    ]
    write_file(tmp_path / "x.safetensors", outgoing)
    return read_weights([tmp_path / "x.safetensors"])


VALUES = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3).astype(FLOAT8)


def test_one_scale(tmp_path):
    found = weights(
        tmp_path,
        a__weight=VALUES,
        a__scale_weight=np.float32(0.5).reshape(()),
        a__scale_input=np.float32(3).reshape(()),
        scaled_fp8=np.zeros(2, FLOAT8),
    )
    assert found.keys() == {"a.weight"}
    want = VALUES.astype(np.float32) * 0.5
    np.testing.assert_array_equal(found["a.weight"].read(), want)
    np.testing.assert_array_equal(found["a.weight"].read(slice(1, 3)), want[1:3])
    assert found["a.weight"].dtype == np.float32


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_a_scale_for_each_row(tmp_path, shape):
    scale = np.arange(1, 5, dtype=np.float32)
    found = weights(tmp_path, a__weight=VALUES, a__weight_scale=scale.reshape(shape))
    want = VALUES.astype(np.float32) * scale[:, None]
    np.testing.assert_array_equal(found["a.weight"].read(), want)
    np.testing.assert_array_equal(found["a.weight"].read(slice(2, 4)), want[2:])


def test_whole_numbers_with_a_scale(tmp_path):
    whole = np.array([[-3, 5]], np.int8)
    found = weights(tmp_path, a__weight=whole, a__weight_scale=np.ones(1, "f4") / 4)
    np.testing.assert_array_equal(found["a.weight"].read(), whole / 4)


def test_float8_without_a_scale(tmp_path):
    found = weights(tmp_path, a__weight=VALUES, b__bias=np.ones(2, np.float16))
    np.testing.assert_array_equal(found["a.weight"].read(), VALUES.astype(np.float32))
    assert found["b.bias"].dtype == np.float16


def test_scales_of_another_size(tmp_path):
    with pytest.raises(ValueError, match="has 3 numbers, expected one, or one for ea"):
        weights(tmp_path, a__weight=VALUES, a__weight_scale=np.ones(3, "f4"))


@pytest.mark.parametrize("scale", [np.nan, np.inf])
def test_a_scale_that_is_not_finite_is_refused(scale, tmp_path):
    scales = np.array([1, 2, scale, 1], np.float32)
    with pytest.raises(ValueError, match="a.weight_scale is not finite"):
        weights(tmp_path, a__weight=VALUES, a__weight_scale=scales)


def test_plain_files_are_as_they_were(tmp_path):
    save_file({"a.weight": np.ones((2, 2), np.float32)}, tmp_path / "y.safetensors")
    found = read_weights([tmp_path / "y.safetensors"])
    assert found["a.weight"].read().sum() == 4
