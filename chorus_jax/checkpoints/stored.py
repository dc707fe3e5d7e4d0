"""Arrays on disk: written block by block through Orbax, read back in the same blocks.

An array is stored as zarr without compression (weights barely compress), one file a
block. Blocks are whole trailing axes of at most `BLOCK` bytes, so that the blocks of an
array in order are its bytes in C order: a digest can be taken while they pass by.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

BLOCK = 128 * 2**20

Box = tuple[slice, ...]


@dataclass(frozen=True)
class StreamedArray:
    """An array that is never whole in memory: `read` gives the block inside a box."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[Box], np.ndarray]


def block_shape(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The shape of the largest block.

    A worked case: [40, 5120, 13824] in bfloat16 has layers of 135 MiB, so a block is
    half a layer, [1, 2560, 13824].
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


def write_arrays(folder: Path, arrays: Mapping[str, StreamedArray]) -> dict[str, str]:
    """Writes an Orbax checkpoint of named arrays; returns the digest of each.

    `folder` must be absolute and not exist. Memory needed: a few blocks.
    """
    handler = _StreamHandler()
    registry = ocp.type_handlers.create_type_handler_registry(
        (StreamedArray, handler), (jax.Array, ocp.type_handlers.ArrayHandler())
    )
    with ocp.Checkpointer(
        ocp.PyTreeCheckpointHandler(use_ocdbt=False, type_handler_registry=registry)
    ) as checkpointer:
        checkpointer.save(folder, dict(arrays))
    return handler.digests


def open_arrays(folder: Path) -> dict[str, StreamedArray]:
    """The arrays of a checkpoint written here, read from disk block by block.

    Raises ValueError if an array is missing or its file is not as long as it must be.
    """
    found = sorted(path.parent for path in folder.glob("*/.zarray"))
    return {path.name: _open(path) for path in found}


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

    def read(box: Box) -> np.ndarray:
        try:
            return store[box].read().result()
        except (ValueError, OSError) as error:
            raise damaged(path, error) from error

    return StreamedArray(tuple(store.shape), np.dtype(store.dtype.numpy_dtype), read)


def damaged(path: Path, error: BaseException) -> ValueError:
    """The error for a checkpoint whose files are missing, cut or changed."""
    reason = str(error).split("\n", 1)[0][:300]
    return ValueError(
        f"{path} is damaged (a file is missing, truncated or not ours): {reason}; "
        "convert or copy it again"
    )


class _StreamHandler(ocp.type_handlers.NumpyHandler):
    """Orbax's way in for StreamedArray: what it writes is restored as a jax.Array."""

    def __init__(self) -> None:
        super().__init__()
        self.digests: dict[str, str] = {}

    def typestr(self) -> str:
        return "jax.Array"

    async def serialize(
        self, values: Sequence, infos: Sequence, args: Sequence | None = None
    ) -> list:
        for array, info in zip(values, infos):
            await info.await_path_creation()
            path = info.parent_dir / info.name
            self.digests[info.name] = await _write(str(path), array)
        return []


async def _write(path: str, array: StreamedArray) -> str:
    store = await ts.open(
        {
            "driver": "zarr",
            "kvstore": {"driver": "file", "path": path},
            "dtype": array.dtype.name,
            "metadata": {
                "shape": array.shape,
                "chunks": block_shape(array.shape, array.dtype.itemsize),
                "compressor": None,
            },
            "store_data_equal_to_fill_value": True,
        },
        create=True,
    )
    sha, pending = hashlib.sha256(), None
    for box in boxes(array.shape, array.dtype):
        block = np.array(array.read(box), order="C", copy=None)
        if pending is not None:
            await _done(pending, path)
        # The next block is read and hashed while this one is being written.
        pending = store[box].write(block, can_reference_source_data_indefinitely=True)
        sha.update(raw(block))
    if pending is not None:
        await _done(pending, path)
    return sha.hexdigest()


async def _done(pending: Any, path: str) -> None:
    try:
        await pending
    except Exception as error:  # tensorstore maps the system's errors to several.
        raise ValueError(
            f"cannot write {path}: {error}; is the disk full or read-only?"
        ) from error
