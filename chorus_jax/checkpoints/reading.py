"""Reads arrays from disk to devices, and computes their digests on the way."""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from chorus_jax.checkpoints.stored import StreamedArray, boxes, raw


@runtime_checkable
class Hash(Protocol):
    """A hash object like those of hashlib."""

    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class Untaken:
    """A hash that computes nothing, for arrays whose digest is known."""

    def update(self, data: memoryview, /) -> None:
        """Does nothing."""

    def hexdigest(self) -> str:
        """An empty string."""
        return ""


def read_array(
    array: StreamedArray,
    dtype: np.dtype,
    sharding: jax.sharding.Sharding,
    sha: Hash,
) -> tuple[jax.Array, str]:
    """Reads a stored array to devices, cast to `dtype`.

    The whole array passes through host memory.

    Args:
        array: the stored array.
        dtype: the dtype of the array on devices.
        sharding: the sharding of the array on devices.
        sha: a new hash, which digests the stored bytes.

    Returns:
        The array and its digest.
    """
    value = _aligned(array.shape, dtype)
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(sha.update, memoryview(b""))
        for box in boxes(array.shape, array.dtype):
            block = array.read(box)
            hashed.result()
            # The block is hashed while it is cast and the next one is read.
            hashed = pool.submit(sha.update, raw(block))
            value[box] = block.astype(dtype, copy=False)
        placed = jax.make_array_from_callback(
            array.shape, sharding, lambda index: value[index]
        )
    return placed, sha.hexdigest()


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array aligned to 64 bytes, which a CPU device takes without a copy."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def check_same(
    stored: Mapping[str, Any], targets: Mapping[str, Any], folder: Path
) -> None:
    """Raises a ValueError that lists the names and shapes in which arrays differ."""
    if not stored:
        raise ValueError(f"{folder} holds no weights: it is no part of a checkpoint")
    differences = [f"missing {name}" for name in targets.keys() - stored.keys()]
    differences += [f"unknown {name}" for name in stored.keys() - targets.keys()]
    differences += [
        f"{name} is {list(stored[name].shape)}, needs {list(targets[name].shape)}"
        for name in targets.keys() & stored.keys()
        if tuple(stored[name].shape) != tuple(targets[name].shape)
    ]
    if differences:
        shown = "; ".join(sorted(differences)[:10])
        raise ValueError(
            f"{folder} holds the weights of another model ({len(differences)} "
            f"differences): {shown}"
        )
