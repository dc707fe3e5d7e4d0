"""Arrays on disk: written block by block through Orbax, read back in the same blocks.

An array is stored as zarr without compression (weights barely compress), one file per
block. Blocks are whole trailing axes of at most `BLOCK` bytes, so the blocks in order
are the array's bytes in C order, and a digest can be computed block by block.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

BLOCK = 128 * 2**20

Box = tuple[slice, ...]


@dataclass(frozen=True)
class StreamedArray:
    """An array that is read block by block, and need not be in memory.

    Attributes:
        shape: the shape of the whole array.
        dtype: the dtype of its values.
        read: reads the block inside a box, which is a slice per axis.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[Box], np.ndarray]


def block_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The shape of the largest block.

    For example, [40, 5120, 13824] in bfloat16 has layers of 135 MiB, so a block is half
    a layer, [1, 2560, 13824].
    """
    room, block = BLOCK // itemsize, list(shape)
    for axis, size in enumerate(shape):
        inner = math.prod(shape[axis + 1 :])
        if size * inner <= room:
            break
        rows = max(1, room // inner)
        block[axis] = math.ceil(size / math.ceil(size / rows))
        if inner <= room:
            break
    return tuple(block)


def boxes(shape: tuple[int, ...], dtype: np.dtype) -> Iterator[Box]:
    """The boxes of an array's blocks, in C order."""
    block = block_shape(shape, dtype.itemsize)
    steps = (range(0, size, step) for size, step in zip(shape, block))
    for corner in itertools.product(*steps):
        yield tuple(
            slice(start, min(start + step, size))
            for start, step, size in zip(corner, block, shape)
        )


def raw(block: np.ndarray) -> memoryview:
    """The bytes of a block in C order."""
    return np.ascontiguousarray(block).reshape(-1).view(np.uint8).data


def digest(array: Any) -> str:
    """SHA-256 of a streamed or stored array's bytes in C order."""
    sha = hashlib.sha256()
    for box in boxes(array.shape, array.dtype):
        sha.update(raw(array.read(box)))
    return sha.hexdigest()


def open_arrays(folder: Path) -> dict[str, StreamedArray]:
    """The arrays of a checkpoint written by this package, read block by block.

    Raises a ValueError, at once or when a block is read, if files are damaged.
    """
    folders = sorted(path.parent for path in folder.glob("*/.zarray"))
    return {path.name: _open(path) for path in folders}


def _open(path: Path) -> StreamedArray:
    spec = {
        "driver": "zarr",
        "kvstore": {"driver": "file", "path": str(path)},
        "fill_missing_data_reads": False,
    }
    try:
        store = ts.open(spec, read=True).result()
    except ValueError as error:
        raise damaged(path, error) from error

    dtype = np.dtype(store.dtype.numpy_dtype)
    return StreamedArray(tuple(store.shape), dtype, partial(_read, store, path))


def _read(store: ts.TensorStore, path: Path, box: Box) -> np.ndarray:
    try:
        return store[box].read().result()
    except (ValueError, OSError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: BaseException) -> ValueError:
    """The error for a checkpoint whose files are missing, cut or changed."""
    reason = str(error).split("\n", 1)[0][:300]
    return ValueError(
        f"{path} is damaged (a file is missing, truncated or not ours): {reason}; "
        "convert or copy it again"
    )
