"""GGUF files: reads the header and dequantizes the block formats.

Formats: ggml-org/ggml, docs/gguf.md and src/ggml-quants.h. A block encodes 32 or 256
numbers of a row as integers of few bits with scales, and in some formats with minima.
"""

import math
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from convert.tensors import SourceTensor, Tensor, truncated

ALIGNMENT = 32
PLAIN: Mapping[int, np.dtype] = {
    0: np.dtype(np.float32),
    1: np.dtype(np.float16),
    30: np.dtype(ml_dtypes.bfloat16),
}
# The types of numbers in the header, by type number.
SCALARS = dict(enumerate(("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<f4", "?"))) | {
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
TEXT, LIST = 8, 9
HEADER_LIMIT = 2**26  # bytes; a vocabulary of 256 000 words has 10 MB
# ComfyUI-GGUF's key for the shape of a tensor with more axes than GGUF supports.
SHAPE_KEY = "comfy.gguf.orig_shape."


@dataclass(frozen=True)
class Blocks:
    """A block format of GGUF.

    Attributes:
        name: llama.cpp's name, such as `Q8_0`.
        size: the count of numbers in a block.
        nbytes: the bytes of a block.
        values: dequantizes blocks to float32, from a row of bytes per block.
    """

    name: str
    size: int
    nbytes: int
    values: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class BlockTensor:
    """A tensor in a block format, which is read as float32.

    Attributes:
        name: the name in the file.
        shape: the shape of the dequantized tensor.
        raw: the bytes of the blocks, as a tensor of uint8 whose first axis is
            `shape[0]`.
        blocks: the block format.
        dtype: the dtype of the values that `read` returns.
    """

    name: str
    shape: tuple[int, ...]
    raw: Tensor
    blocks: Blocks
    dtype: np.dtype = np.dtype(np.float32)

    @property
    def file(self) -> Path:
        """The file that contains the blocks."""
        return self.raw.file

    def read(self, rows: slice = slice(None)) -> np.ndarray:
        """The tensor, or some rows of its first axis."""
        data = self.raw.read(rows).reshape(-1, self.blocks.nbytes)
        return self.blocks.values(data).reshape(-1, *self.shape[1:])


def read_gguf(file: Path) -> list[SourceTensor]:
    """The tensors of a GGUF file; reads only its header.

    Raises:
        ValueError: if it is no GGUF file, is truncated, or has a tensor in an
            unsupported format.
    """
    with open(file, "rb") as stream:
        try:
            fields, entries = _header(stream)
            step = fields.get("general.alignment", ALIGNMENT)
            if type(step) is not int or step < 1:
                raise ValueError(f"its alignment is {step!r}")
            base = -(-stream.tell() // step) * step
        except (struct.error, ValueError) as error:
            raise ValueError(
                f"{file} is not a GGUF file or is truncated: {error}; download it again"
            ) from error
    size = os.path.getsize(file)
    tensors = [_placed(file, base, size, fields, *entry) for entry in entries]
    _check_apart(file, tensors)
    return tensors


def _check_apart(file: Path, tensors: Sequence[SourceTensor]) -> None:
    """Raises a ValueError if two tensors share bytes."""
    raw = [x.raw if isinstance(x, BlockTensor) else x for x in tensors]
    plain = (x for x in raw if isinstance(x, Tensor))
    end = 0
    for tensor in sorted(plain, key=lambda x: (x.offset, x.nbytes)):
        if tensor.offset < end:
            raise ValueError(
                f"{file} is damaged: {tensor.name} begins at byte {tensor.offset} and "
                f"overlaps the one before, which ends at {end}; download it again"
            )
        end = tensor.offset + tensor.nbytes


def _header(stream: BinaryIO) -> tuple[dict[str, Any], list[tuple]]:
    if stream.read(4) != b"GGUF":
        raise ValueError("it does not begin with GGUF")
    version, tensors, fields = _unpack(stream, "IQQ")
    if version not in (2, 3):
        raise ValueError(f"it is of version {version}, supported are 2 and 3")
    values = {}
    for _ in range(fields):
        key = _text(stream)
        values[key] = _value(stream, *_unpack(stream, "I"))
    entries = []
    for _ in range(tensors):
        name, (axes,) = _text(stream), _unpack(stream, "I")
        if axes > 8:
            raise ValueError(f"{name} has {axes} axes")
        shape = _unpack(stream, "Q" * axes)[::-1]
        entries.append((name, shape, *_unpack(stream, "IQ")))
    return values, entries


def _bytes(stream: BinaryIO, count: int) -> bytes:
    if stream.tell() + count > HEADER_LIMIT:
        raise ValueError(f"its header has more than {HEADER_LIMIT} bytes")
    return stream.read(count)


def _unpack(stream: BinaryIO, letters: str) -> tuple:
    form = "<" + letters
    return struct.unpack(form, _bytes(stream, struct.calcsize(form)))


def _text(stream: BinaryIO) -> str:
    return _bytes(stream, *_unpack(stream, "Q")).decode()


def _value(stream: BinaryIO, kind: int) -> Any:
    """Reads a header value: a number, a text, or a list or array of them."""
    if kind == TEXT:
        return _text(stream)
    if kind != LIST:
        return _numbers(stream, kind, 1)[0].item()
    inner, count = _unpack(stream, "IQ")
    if inner == TEXT:
        return [_text(stream) for _ in range(count)]
    return _numbers(stream, inner, count)


def _numbers(stream: BinaryIO, kind: int, count: int) -> np.ndarray:
    if kind not in SCALARS:
        raise ValueError(f"a value of the unknown kind {kind}")
    dtype = np.dtype(SCALARS[kind])
    return np.frombuffer(_bytes(stream, count * dtype.itemsize), dtype, count)


def _placed(
    file: Path,
    base: int,
    size: int,
    fields: Mapping[str, Any],
    name: str,
    shape: tuple[int, ...],
    kind: int,
    offset: int,
) -> SourceTensor:
    full = _shape(file, name, fields.get(SHAPE_KEY + name, shape))
    if math.prod(full) != math.prod(shape):
        raise ValueError(f"{file}: {name} has the shapes {shape} and {full}")
    if kind in PLAIN:
        tensor = Tensor(name, full, PLAIN[kind], file, base + offset)
    elif kind in FORMATS:
        tensor = _raw(file, name, full, FORMATS[kind], base + offset)
    else:
        raise ValueError(
            f"{file}: {name} is in the GGUF format number {kind}; read are F32, F16, "
            f"BF16, {', '.join(x.name for x in FORMATS.values())}"
        )
    if tensor.offset + tensor.nbytes > size:
        raise truncated(file, tensor.offset + tensor.nbytes, size)
    return BlockTensor(name, full, tensor, FORMATS[kind]) if kind in FORMATS else tensor


def _shape(file: Path, name: str, stored: Any) -> tuple[int, ...]:
    """A shape as Python integers. Raises a ValueError if it is no list of whole
    numbers."""
    sizes = stored.tolist() if isinstance(stored, np.ndarray) else stored
    if not isinstance(sizes, list | tuple) or any(
        type(size) is not int or size < 0 for size in sizes
    ):
        raise ValueError(f"{file}: the shape of {name} is {stored!r:.80}")
    return tuple(sizes)


def _raw(
    file: Path, name: str, shape: tuple[int, ...], blocks: Blocks, offset: int
) -> Tensor:
    """The bytes of a tensor in blocks, as a uint8 tensor with the same rows."""
    rows, count = shape[0] if shape else 1, math.prod(shape)
    row = count // max(rows, 1)
    if row % blocks.size:
        raise ValueError(
            f"{file}: {name} {list(shape)} does not divide into blocks of "
            f"{blocks.size}: the header is damaged"
        )
    wide = (rows, row // blocks.size * blocks.nbytes)
    return Tensor(name, wide, np.dtype(np.uint8), file, offset)


def _half(data: np.ndarray) -> np.ndarray:
    """Pairs of bytes read as little-endian float16, converted to float32."""
    return np.ascontiguousarray(data).view("<f2").astype(np.float32)


def _nibbles(data: np.ndarray) -> np.ndarray:
    """Splits [..., n] bytes into [..., 2, n]: low four bits, then high four bits."""
    return np.stack([data & 15, data >> 4], axis=-2)


def _q8_0(data: np.ndarray) -> np.ndarray:
    full_tensor = np.ascontiguousarray(data[:, 2:]).view(np.int8)
    return _half(data[:, :2]) * full_tensor


def _q4_0(data: np.ndarray) -> np.ndarray:
    full_tensor = _nibbles(data[:, 2:]).reshape(-1, 32).astype(np.float32) - 8
    return _half(data[:, :2]) * full_tensor


def _scales_and_least(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unpacks the 8 scales and 8 minima of 6 bits each from 12 bytes per block."""
    first, second, third = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = [first & 63, (third & 15) | (first >> 6 << 4)]
    least = [second & 63, (third >> 4) | (second >> 6 << 4)]
    return np.concatenate(scales, axis=1), np.concatenate(least, axis=1)


def _k_values(data: np.ndarray, full_tensor: np.ndarray) -> np.ndarray:
    """Scales blocks of 256 with 8 scales and minima; `full_tensor` is [n 8 32]."""
    scales, least = _scales_and_least(data[:, 4:16])
    scale = _half(data[:, :2]) * scales
    lowest = _half(data[:, 2:4]) * least
    return (scale[..., None] * full_tensor - lowest[..., None]).reshape(len(data), 256)


def _q4_k(data: np.ndarray) -> np.ndarray:
    full_tensor = _nibbles(data[:, 16:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    return _k_values(data, full_tensor.astype(np.float32))


def _q5_k(data: np.ndarray) -> np.ndarray:
    low = _nibbles(data[:, 48:].reshape(-1, 4, 32)).reshape(-1, 8, 32)
    high = data[:, 16:48][:, None] >> np.arange(8, dtype=np.uint8)[:, None] & 1
    return _k_values(data, (low | high << 4).astype(np.float32))


def _q6_k(data: np.ndarray) -> np.ndarray:
    low = _nibbles(data[:, :128].reshape(-1, 2, 64)).reshape(-1, 2, 4, 32)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    high = data[:, 128:192].reshape(-1, 2, 1, 32) >> shifts & 3
    full_tensor = (low | high << 4).astype(np.float32).reshape(-1, 16, 16) - 32
    scales = np.ascontiguousarray(data[:, 192:208]).view(np.int8)
    scale = _half(data[:, 208:]) * scales
    return (scale[..., None] * full_tensor).reshape(len(data), 256)


FORMATS: Mapping[int, Blocks] = {
    2: Blocks("Q4_0", 32, 18, _q4_0),
    8: Blocks("Q8_0", 32, 34, _q8_0),
    12: Blocks("Q4_K", 256, 144, _q4_k),
    13: Blocks("Q5_K", 256, 176, _q5_k),
    14: Blocks("Q6_K", 256, 210, _q6_k),
}
