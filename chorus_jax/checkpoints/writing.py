"""Writes arrays to disk through Orbax, block by block, with digests made on the way."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

from chorus_jax.checkpoints.stored import StreamedArray, block_shape, boxes, raw


def write(
    folder: Path,
    arrays: Mapping[str, StreamedArray],
    compressor: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Writes arrays into a new folder; returns their digests by name.

    Args:
        folder: the new folder.
        arrays: the arrays by name.
        compressor: the blocks' compressor, as in zarr's metadata; None to store them
            uncompressed.
    """
    handler = _StreamHandler(compressor)
    registry = ocp.type_handlers.create_type_handler_registry(
        (StreamedArray, handler), (jax.Array, ocp.type_handlers.ArrayHandler())
    )
    with ocp.Checkpointer(
        ocp.PyTreeCheckpointHandler(use_ocdbt=False, type_handler_registry=registry)
    ) as checkpointer:
        checkpointer.save(folder, dict(arrays))
    return handler.digests


class _StreamHandler(ocp.type_handlers.NumpyHandler):
    """Orbax's handler of StreamedArray; what it writes is restored as a jax.Array."""

    def __init__(self, compressor: Mapping[str, Any] | None) -> None:
        super().__init__()
        self.compressor = compressor
        self.digests: dict[str, str] = {}

    def typestr(self) -> str:
        return "jax.Array"

    async def serialize(
        self, values: Sequence, infos: Sequence, args: Sequence | None = None
    ) -> list:
        for array, info in zip(values, infos):
            await info.await_path_creation()
            path = info.parent_dir / info.name
            self.digests[info.name] = await _write(str(path), array, self.compressor)
        return []


async def _write(
    path: str, array: StreamedArray, compressor: Mapping[str, Any] | None
) -> str:
    store = await ts.open(
        {
            "driver": "zarr",
            "kvstore": {"driver": "file", "path": path},
            "dtype": array.dtype.name,
            "metadata": {
                "shape": array.shape,
                "chunks": block_shape(array.shape, array.dtype.itemsize),
                "compressor": None if compressor is None else dict(compressor),
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
