"""Source tensors: positions of tensors in files, which are read when needed.

Files are not memory-mapped, because pages that were read from a mapped file count as
memory of the process.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from chorus_jax import json_file

DTYPES: Mapping[str, np.dtype] = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}


HEADER_LIMIT = 100_000_000  # bytes, as in the format's own library


class SourceTensor(Protocol):
    """A tensor of a source: stored in a file, or computed from stored tensors."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    @property
    def file(self) -> Path: ...

    def read(self, rows: slice = ...) -> np.ndarray:
        """The tensor, or some rows of its first axis."""


@dataclass(frozen=True)
class Tensor:
    """A tensor stored in a file.

    Attributes:
        name: the name in the file.
        shape: the shape.
        dtype: the dtype of its values.
        file: the file.
        offset: the position of its values in the file, in bytes.
        strides: the distance between neighbours on each axis, in elements as in torch;
            None for C order.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    file: Path
    offset: int
    strides: tuple[int, ...] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, rows: slice = slice(None)) -> np.ndarray:
        """The tensor, or some rows of its first axis."""
        if self.strides is not None:
            return self._gather()[rows]
        if not self.shape:
            return self._bytes(self.offset, self.nbytes).view(self.dtype).reshape(())
        start, stop, _ = rows.indices(self.shape[0])
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        data = self._bytes(self.offset + start * row, (stop - start) * row)
        return data.view(self.dtype).reshape(stop - start, *self.shape[1:])

    def _gather(self) -> np.ndarray:
        steps = self.strides or ()
        last = sum((size - 1) * step for size, step in zip(self.shape, steps))
        data = self._bytes(self.offset, (last + 1) * self.dtype.itemsize)
        strides = [step * self.dtype.itemsize for step in steps]
        return np.lib.stride_tricks.as_strided(
            data.view(self.dtype), self.shape, strides, writeable=False
        )

    def _bytes(self, offset: int, count: int) -> np.ndarray:
        buffer = np.empty(count, np.uint8)
        with open(self.file, "rb", buffering=0) as file:
            file.seek(offset)
            # A single read returns at most 2 GiB.
            view, done = buffer.data, 0
            while done < count and (got := file.readinto(view[done:])):
                done += got
        if done < count:
            raise truncated(self.file, offset + count, offset + done)
        return buffer


def truncated(file: Path, expected: int, actual: int) -> ValueError:
    """The error for a file that ends too early."""
    return ValueError(
        f"{file} is truncated: expected at least {expected} bytes, found {actual}; "
        "download it again"
    )


def read_safetensors(file: Path) -> list[Tensor]:
    """The tensors of a safetensors file; reads only its header.

    Format: huggingface/safetensors, README.md.

    Raises:
        ValueError: if it is no safetensors file, or is damaged or truncated.
    """
    size = os.path.getsize(file)
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > HEADER_LIMIT:
            raise ValueError(f"{file} is not a safetensors file: its header is damaged")
        if 8 + length > size:
            raise truncated(file, 8 + length, size)
        try:
            text = stream.read(length)
            header: Any = json_file.parsed(text, _unique)
        except ValueError as error:
            raise ValueError(f"{file} is not a safetensors file: {error}") from error
    if not isinstance(header, dict):
        raise ValueError(f"{file} is not a safetensors file: its header is no object")
    _metadata(file, header.pop("__metadata__", None))
    tensors = [_tensor(file, 8 + length, *item) for item in header.items()]
    _check_cover(file, tensors, 8 + length, size)
    return tensors


def metadata(file: Path) -> dict[str, str]:
    """The metadata in a safetensors file's header; {} for none, and for other files."""
    if file.suffix.lower() not in (".safetensors", ".sft"):
        return {}
    with open(file, "rb") as stream:
        length = min(int.from_bytes(stream.read(8), "little"), HEADER_LIMIT)
        header = json_file.parsed(stream.read(length))
    return _metadata(file, header.get("__metadata__"))


def _metadata(file: Path, content: Any) -> dict[str, str]:
    """The metadata of a safetensors header, None if it has none, as a dictionary.

    Raises a ValueError if it is not a dictionary of texts.
    """
    content = {} if content is None else content
    texts = isinstance(content, dict) and {type(x) for x in content.values()} <= {str}
    if not texts:
        raise ValueError(
            f"{file} is not a safetensors file: its metadata are not texts by name"
        )
    return content


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A dict of these pairs. Raises a ValueError if a name occurs twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"its header names {twice} twice")
    return made


def _check_cover(file: Path, tensors: Sequence[Tensor], base: int, size: int) -> None:
    """Raises a ValueError unless tensors cover each byte from `base` on exactly
    once."""
    end = base
    for tensor in sorted(tensors, key=lambda x: (x.offset, x.nbytes)):
        if tensor.offset != end:
            what = "overlaps the one before" if tensor.offset < end else "leaves a hole"
            raise ValueError(
                f"{file} is damaged: {tensor.name} begins at byte {tensor.offset} and "
                f"{what}, which ends at {end}; download it again"
            )
        end += tensor.nbytes
    if end > size:
        raise truncated(file, end, size)
    if end < size:
        raise ValueError(
            f"{file} is damaged: {size - end} bytes follow its last tensor; download "
            "it again"
        )


def _tensor(file: Path, base: int, name: str, entry: Any) -> Tensor:
    try:
        dtype, shape = entry["dtype"], tuple(entry["shape"])
        start, stop = entry["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: the entry of {name} is damaged: {error!r}") from None
    if any(type(n) is not int or n < 0 for n in (*shape, start, stop)):
        raise ValueError(
            f"{file}: {name} has the shape {list(shape)} and the bytes "
            f"{[start, stop]}: the header is damaged"
        )
    if str(dtype) not in DTYPES:
        raise ValueError(f"{file}: {name} has the unknown dtype {dtype}")
    tensor = Tensor(name, shape, DTYPES[dtype], file, base + start)
    if tensor.nbytes != stop - start:
        raise ValueError(
            f"{file}: {name} has {stop - start} bytes, but {dtype} "
            f"{list(shape)} has {tensor.nbytes}: the header is damaged"
        )
    return tensor


def by_name(tensors: Sequence[SourceTensor]) -> dict[str, SourceTensor]:
    """Tensors by name. Raises a ValueError if a name occurs in two files."""
    named: dict[str, SourceTensor] = {}
    for tensor in tensors:
        if tensor.name in named:
            raise ValueError(
                f"{tensor.name} is both in {named[tensor.name].file} and in "
                f"{tensor.file}: remove the shard that is not of this model"
            )
        named[tensor.name] = tensor
    return named
