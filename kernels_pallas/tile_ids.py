"""Ids of tiles: checked where they are known, bounded where they are not."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int


def bounded(name: str, tiles: Int[Array, "b k"], count: int) -> Int[Array, "b k"]:
    """The ids of `count` tiles, with those out of range turned into padding (-1).

    A kernel reads and writes where an id says. A traced program does not know its ids,
    so that there an id out of range must not reach the kernel.

    Raises:
        ValueError: ids that are known, and beyond the last tile or twice in a row.
    """
    if not isinstance(tiles, jax.core.Tracer):
        check(name, np.asarray(tiles), count)
    return jnp.where((tiles >= 0) & (tiles < count), tiles, -1)


def check(name: str, tiles: Int[np.ndarray, "b k"], count: int) -> None:
    """ValueError unless each row has ids of `count` tiles, each at most once, or
    negative ones, which are padding."""
    for row in tiles:
        ids = row[row >= 0]
        if ids.size and ids.max() >= count:
            raise ValueError(
                f"{name}: there are {count} tiles, numbered from 0, got {ids.max()}"
            )
        if len(np.unique(ids)) < len(ids):
            raise ValueError(f"{name}: each tile is named at most once, got {row}")
