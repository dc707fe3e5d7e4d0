"""Arrays from disk to devices, with their digests taken on the way."""

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
    """A digest in the making, such as hashlib's objects are."""

    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class Untaken:
    """Stands for a hash where the digest is known: it takes none."""

    def update(self, data: memoryview, /) -> None:
        """Nothing."""

    def hexdigest(self) -> str:
        """No digest."""
        return ""


def read_array(
    array: StreamedArray,
    dtype: np.dtype,
    sharding: jax.sharding.Sharding,
    sha: Hash,
) -> tuple[jax.Array, str]:
    """A stored array on devices, cast to `dtype`, and the digest of its stored bytes,
    which a new hash takes.

    It passes whole through host memory.
    """
    value = _aligned(array.shape, dtype)
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(sha.update, memoryview(b""))
        for box in boxes(array.shape, array.dtype):
            block = array.read(box)
            hashed.result()
            # It is hashed while it is cast and the next one is read.
            hashed = pool.submit(sha.update, raw(block))
            value[box] = block.astype(dtype, copy=False)
        placed = jax.make_array_from_callback(
            array.shape, sharding, lambda index: value[index]
        )
    return placed, sha.hexdigest()


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array at a multiple of 64 bytes: a CPU device takes it uncopied."""
    size = math.prod(shape) * dtype.itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(dtype).reshape(shape)


def check_same(
    stored: Mapping[str, Any], targets: Mapping[str, Any], folder: Path
) -> None:
    """ValueError listing the names and shapes in which two sets of arrays differ."""
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
