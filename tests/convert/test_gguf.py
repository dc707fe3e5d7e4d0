"""GGUF files: every block format against its definition, rows, damaged headers."""

import numpy as np
import pytest

from convert.gguf import FORMATS, read_gguf
from tests.convert import made

NUMBERS = {blocks.name: kind for kind, blocks in FORMATS.items()}


def halves(rng, count):
    return rng.uniform(0.01, 0.1, count).astype(np.float16)


def packed(scales, least):
    """8 scales and 8 least values of 6 bits in 12 bytes."""
    out = np.zeros((len(scales), 12), np.uint8)
    out[:, :4] = scales[:, :4] | (scales[:, 4:] >> 4) << 6
    out[:, 4:8] = least[:, :4] | (least[:, 4:] >> 4) << 6
    out[:, 8:] = (scales[:, 4:] & 15) | (least[:, 4:] & 15) << 4
    return out


def q8_0(rng, count):
    scale, whole = halves(rng, count), rng.integers(-128, 128, (count, 32))
    data = [scale[:, None].view(np.uint8), whole.astype(np.int8).view(np.uint8)]
    return np.concatenate(data, axis=1), scale[:, None].astype(np.float32) * whole


def q4_0(rng, count):
    scale, whole = halves(rng, count), rng.integers(0, 16, (count, 32), np.uint8)
    data = [scale[:, None].view(np.uint8), whole[:, :16] | whole[:, 16:] << 4]
    values = scale[:, None].astype(np.float32) * (whole.astype(np.float32) - 8)
    return np.concatenate(data, axis=1), values


def k_blocks(rng, count, bits):
    scale, low = halves(rng, count), halves(rng, count)
    scales = rng.integers(0, 64, (count, 8), np.uint8)
    least = rng.integers(0, 64, (count, 8), np.uint8)
    whole = rng.integers(0, 2**bits, (count, 8, 32), np.uint8)
    by = scale[:, None].astype(np.float32) * scales
    less = low[:, None].astype(np.float32) * least
    values = by[..., None] * whole - less[..., None]
    head = [scale[:, None].view(np.uint8), low[:, None].view(np.uint8)]
    return [*head, packed(scales, least)], whole, values.reshape(count, 256)


def q4_k(rng, count):
    head, whole, values = k_blocks(rng, count, 4)
    body = (whole[:, 0::2] | whole[:, 1::2] << 4).reshape(count, 128)
    return np.concatenate([*head, body], axis=1), values


def q5_k(rng, count):
    head, whole, values = k_blocks(rng, count, 5)
    low = whole & 15
    body = (low[:, 0::2] | low[:, 1::2] << 4).reshape(count, 128)
    high = sum((whole[:, i] >> 4) << i for i in range(8)).astype(np.uint8)
    return np.concatenate([*head, high, body], axis=1), values


BLOCKS = {"Q8_0": q8_0, "Q4_0": q4_0, "Q4_K": q4_k, "Q5_K": q5_k}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks(name, tmp_path):
    rng, blocks = np.random.default_rng(0), FORMATS[NUMBERS[name]]
    data, values = BLOCKS[name](rng, 12)
    assert data.shape == (12, blocks.nbytes)
    tensors = {"a": ((3, 4 * blocks.size), data.tobytes())}
    file = tmp_path / "x.gguf"
    file.write_bytes(made.gguf(tensors, {"a": NUMBERS[name]}))
    [tensor] = read_gguf(file)
    assert tensor.shape == (3, 4 * blocks.size) and tensor.dtype == np.float32
    want = values.reshape(tensor.shape)
    np.testing.assert_allclose(tensor.read(), want, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(tensor.read(slice(1, 3)), tensor.read()[1:3])


@pytest.mark.parametrize("name", NUMBERS)
def test_blocks_are_read_as_the_package_of_the_format_reads_them(name):
    gguf = pytest.importorskip("gguf")
    blocks = FORMATS[NUMBERS[name]]
    data = np.random.default_rng(0).integers(0, 256, (64, blocks.nbytes), np.uint8)
    with np.errstate(invalid="ignore"):
        kind = gguf.GGMLQuantizationType(NUMBERS[name])
        want = gguf.quants.dequantize(data, kind)
        ours = blocks.values(data).reshape(want.shape)
    assert np.isfinite(want).mean() > 0.5
    np.testing.assert_array_equal(ours, want)


def written(tmp_path, kinds=0, change=lambda data: data):
    data = made.gguf({"a": ((2, 32), np.ones((2, 32), "f4").tobytes())}, {"a": kinds})
    (tmp_path / "x.gguf").write_bytes(change(data))
    return tmp_path / "x.gguf"


def test_plain_numbers(tmp_path):
    [tensor] = read_gguf(written(tmp_path))
    np.testing.assert_array_equal(tensor.read(), np.ones((2, 32)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"GGML" + data[4:], "does not begin with GGUF"),
        (lambda data: data[:4] + b"\x09" + data[5:], "of version 9"),
        (lambda data: data[:40], "is not a GGUF file or is truncated"),
        (lambda data: data[:-9], "is truncated: expected at least"),
    ],
)
def test_damaged_files(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read_gguf(written(tmp_path, change=change))


def test_a_format_that_is_not_read(tmp_path):
    with pytest.raises(ValueError, match="format number 10; read are F32, F16, BF16, "):
        read_gguf(written(tmp_path, kinds=10))


def field(key, kind, data):
    """A field of a header."""
    return len(key).to_bytes(8, "little") + key + kind.to_bytes(4, "little") + data


def number(value, size=4):
    return value.to_bytes(size, "little")


SHAPE = b"comfy.gguf.orig_shape.a"
LONG = number(6) + number(10**9, 8)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (field(b"general.alignment", 4, number(0)), "its alignment is 0"),
        (field(b"general.alignment", 8, number(1, 8) + b"x"), "its alignment is 'x'"),
        (field(b"general.alignment", 6, bytes(4)), "its alignment is 0.0"),
        (field(SHAPE, 4, number(64)), "the shape of a is 64"),
        (field(SHAPE, 8, number(1, 8) + b"x"), "the shape of a is 'x'"),
        (field(SHAPE, 9, number(6) + number(1, 8) + bytes(4)), "the shape of a is"),
        (
            field(SHAPE, 9, number(5) + number(2, 8) + b"\xff" * 4 + b"\xc0" * 4),
            "the shape of a is",
        ),
        (field(b"x", 9, LONG), "its header has more than 67108864 bytes"),
        (field(b"x", 9, number(9) + number(1, 8)), "of the unknown kind 9"),
        (field(b"x", 8, number(2**40, 8)), "its header has more than"),
    ],
    ids=[
        *("no alignment", "text", "fraction", "scalar", "text shape", "fractions"),
        *("below 0", "long list", "list of lists", "long text"),
    ],
)
def test_crafted_fields_are_refused(tmp_path, added, message):
    def change(data):
        assert data[16:24] == bytes(8)  # the number of fields
        return data[:16] + number(1, 8) + added + data[24:]

    with pytest.raises(ValueError, match=message):
        read_gguf(written(tmp_path, change=change))


def test_tensors_that_share_bytes_are_refused(tmp_path):
    ones = np.ones((2, 32), "f4").tobytes()
    data = made.gguf({name: ((2, 32), ones) for name in "ab"}, {"a": 0, "b": 0})
    at = data.rfind((256).to_bytes(8, "little"))
    (tmp_path / "x.gguf").write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    with pytest.raises(ValueError, match="overlaps the one before"):
        read_gguf(tmp_path / "x.gguf")
