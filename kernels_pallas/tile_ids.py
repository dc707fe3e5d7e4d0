"""Checks ids of tiles unless they are traced; ids out of range become padding."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int


def bounded(name: str, tiles: Int[Array, "b k"], count: int) -> Int[Array, "b k"]:
    """The tile ids, with those outside 0 to `count` - 1 turned into padding (-1).

    A kernel would read and write out of bounds at an id out of range. Traced ids cannot
    be checked, so they are replaced.

    Raises:
        ValueError: if ids are not traced, and are too large or repeated within a row of
            the batch.
    """
    if not isinstance(tiles, jax.core.Tracer):
        check(name, np.asarray(tiles), count)
    return jnp.where((tiles >= 0) & (tiles < count), tiles, -1)


def check(name: str, tiles: Int[np.ndarray, "b k"], count: int) -> None:
    """Raises a ValueError for ids of `count` or more, or repeated in a batch row.

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
