"""Checks ids of tiles if they are known, and replaces those out of range."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int


def bounded(name: str, tiles: Int[Array, "b k"], count: int) -> Int[Array, "b k"]:
    """The tile ids, with those outside 0 to `count` - 1 turned into padding (-1).

    A kernel reads and writes wherever an id points. Traced ids cannot be checked, so
    that ids out of range must be kept from the kernel.

    Raises:
        ValueError: for known ids that are beyond the last tile or twice in a row.
    """
    if not isinstance(tiles, jax.core.Tracer):
        check(name, np.asarray(tiles), count)
    return jnp.where((tiles >= 0) & (tiles < count), tiles, -1)


def check(name: str, tiles: Int[np.ndarray, "b k"], count: int) -> None:
    """Raises a ValueError for ids beyond `count` tiles or twice in a row.

    Negative ids are padding.
    """
    for row in tiles:
        ids = row[row >= 0]
        if ids.size and ids.max() >= count:
            raise ValueError(
                f"{name}: there are {count} tiles, numbered from 0, got {ids.max()}"
            )
        if len(np.unique(ids)) < len(ids):
            raise ValueError(f"{name}: each tile is named at most once, got {row}")
