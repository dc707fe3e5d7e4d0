"""Rotary positions over frames, height and width (RoFormer, arXiv 2104.09864).

A head's channel pairs are split in three groups, which are rotated by angles that
depend on the token's frame, row or column. The split is Wan's: rows and columns get
d // 6 pairs each, frames the rest.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

PERIOD = 10000.0


def axis_pairs(head_width: int) -> tuple[int, int, int]:
    """The numbers of channel pairs that are rotated by frame, by row and by column."""
    side = head_width // 6
    return head_width // 2 - 2 * side, side, side


def rotary_table(
    grid: tuple[int, int, int], head_width: int, period: float = PERIOD
) -> Float[Array, "2 n r"]:
    """Cosines and sines of the angles of every token (r = d / 2 pairs), computed in
    float64 and returned in float32."""
    angles = []
    for axis, (size, count) in enumerate(zip(grid, axis_pairs(head_width))):
        frequencies = period ** (-np.arange(count) / count)
        shape = [1, 1, 1, count]
        shape[axis] = size
        angle = np.outer(np.arange(size), frequencies).reshape(shape)
        angles.append(np.broadcast_to(angle, (*grid, count)))
    angle = np.concatenate(angles, axis=-1).reshape(-1, head_width // 2)
    return jnp.asarray(np.stack([np.cos(angle), np.sin(angle)]), jnp.float32)


def rotate(x: Float[Array, "b n a d"], table: Float[Array, "2 *b n r"]) -> Array:
    """Rotates each channel pair (2i, 2i + 1) by its token's angle, in float32.

    Args:
        x: queries or keys.
        table: cosines and sines, the same for all rows or per row. r is the number of
            pairs of one head (the same angles for all heads), or of all heads side by
            side.

    Returns:
        The rotated channels, reordered: the first members of all pairs, then the second
        members. Attention reads only products of queries and keys, which stay the same
        if both are reordered.
    """
    angles = table if table.ndim == 4 else table[:, None]
    cos, sin = angles.reshape(*angles.shape[:-1], -1, x.shape[-1] // 2)
    pairs = x.astype(jnp.float32).reshape(*x.shape[:-1], -1, 2)
    first, second = pairs[..., 0], pairs[..., 1]
    turned = (first * cos - second * sin, first * sin + second * cos)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)


def rotate_halves(
    x: Float[Array, "b n a d"], table: Float[Array, "2 *b n r"]
) -> Float[Array, "b n a d"]:
    """Rotates each channel pair (i, i + d/2) of a head by its token's angle, in
    float32.

    Args:
        x: queries or keys.
        table: cosines and sines, the same for all rows or per row. r is the number of
            pairs of all heads side by side: each head has its own angles.
    """
    angles = table if table.ndim == 4 else table[:, None]
    cos, sin = angles.reshape(*angles.shape[:-1], -1, x.shape[-1] // 2)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
