"""Numbers of tiles, checked where they are known."""

import jax
import numpy as np
from jaxtyping import Array, Int


def check(name: str, tiles: Int[Array, "b k"], count: int) -> None:
    """ValueError unless these are numbers of `count` tiles, each at most once in its
    row, with the negative ones, which are padding, last.

    A program that is traced does not know them yet. There it is the caller's part: a
    kernel copies to and from where a number says, whatever is there.
    """
    if isinstance(tiles, jax.core.Tracer):
        return
    for row in np.asarray(tiles):
        found = row[row >= 0]
        if (row[: len(found)] < 0).any():
            raise ValueError(f"{name}: padding comes last, got {row}")
        if found.size and found.max() >= count:
            raise ValueError(
                f"{name}: there are {count} tiles, numbered from 0, got {found.max()}"
            )
        if len(np.unique(found)) < len(found):
            raise ValueError(f"{name}: each tile is named at most once, got {row}")
