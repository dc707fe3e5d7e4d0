"""Rotary positions over frames, height and width (RoFormer, arXiv 2104.09864).

The head's channels are split in three: pairs of channels turn with the frame, the row
or the column of their token. Wan's split: height and width get d // 6 pairs each,
frames the rest.
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
    """Cosines and sines of every token (r = d / 2 pairs), computed in float64 once."""
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
    """Turns each pair (2i, 2i + 1) by its token's angle, in float32.

    The tokens of all rows have the same angles, or each row its own; so have the heads:
    r is the pairs of one head, or of all heads side by side.

    The result holds all first, then all second members of the pairs. Attention needs
    only products of a query and a key, which do not change when both are reordered.
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
    """Turns each pair (i, i + d/2) of a head by its token's angle, in float32.

    The tokens of all rows have the same angles, or each row its own. The heads have
    angles of their own: r is the pairs of all heads side by side.
    """
    angles = table if table.ndim == 4 else table[:, None]
    cos, sin = angles.reshape(*angles.shape[:-1], -1, x.shape[-1] // 2)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = (first * cos - second * sin, second * cos + first * sin)
    return jnp.concatenate(turned, axis=-1).astype(x.dtype)
