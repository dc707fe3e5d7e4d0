"""Noise coupled to clips, drawn by jax: see `training/coupling.py`."""

from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int

from chorus_jax.training.coupling import COMPONENTS, EDGE
from chorus_jax.training.world.chances import LARGE

SHORTEST: Final = 1e-12  # least E; shorter ones have no finite normal in float32


def components(
    key: Array, chances: Float[Array, "b n"], grid: tuple[int, int]
) -> Float[Array, "b h w k"]:
    """The components of each clip's noise along `coupling.directions`, at every
    position.

    Args:
        key: random key for the components that clips leave open.
        chances: the clips' `Chances`, flat, of one object each.
        grid: height and width in latents.

    Returns:
        Components with the distribution of `coupling.components`.
    """
    keys = iter(jax.random.split(key, 3))
    count, (height, width) = len(chances), grid
    column, right, across = _cells(chances[:, :6:2], width)
    row, below, down = _cells(chances[:, 1:6:2], height)
    at = (row[:, None] == jnp.arange(height)[None])[:, :, None]
    at = at & (column[:, None] == jnp.arange(width)[None])[:, None, :]
    shares = down[:, :, None] * across[:, None, :]
    large = (chances[:, LARGE] + jax.random.uniform(next(keys), (count,))) / 2
    known = jnp.stack([right, below, large, *chances[:, LARGE + 1 :].T], axis=1)
    wanted = ndtri(jnp.clip(known, EDGE, 1 - EDGE))[:, None, None]
    free = jax.random.normal(next(keys), (count, *grid, COMPONENTS))
    settled = at[..., None] & ~jnp.isnan(wanted)
    following = jnp.where(settled, jnp.nan_to_num(wanted), free[..., 1:])
    first = _first(next(keys), shares, at)
    return jnp.concatenate([first[..., None], following], axis=-1)


def _cells(
    side: Float[Array, "b 3"], count: int
) -> tuple[Int[Array, " b"], Float[Array, " b"], Float[Array, "b count"]]:
    """Locates objects' middles along one side of the frame (see `coupling._cell`).

    Args:
        side: the least, the greatest and the actual position of the middle.
        count: number of cells.

    Returns:
        The cell, the quantile of the middle within the part of the cell that lies in
        the range, and every cell's share of the range.
    """
    least, most, at = side.T
    at = jnp.clip(at, least, most)
    cell = jnp.clip((at * count).astype(jnp.int32), 0, count - 1)
    numbers = jnp.arange(count, dtype=jnp.float32)[None]
    starts, ends = (
        jnp.clip(edges / count, least[:, None], most[:, None])
        for edges in (numbers, numbers + 1)
    )
    own = cell[:, None] == jnp.arange(count)[None]
    start = jnp.where(own, starts, 0).sum(axis=1)
    size = jnp.where(own, ends - starts, 0).sum(axis=1)
    within = jnp.where(size > 0, (at - start) / jnp.where(size > 0, size, 1), np.nan)
    span = (most - least)[:, None]
    shares = (ends - starts) / jnp.where(span > 0, span, 1)
    return cell, within, jnp.where(span > 0, shares, own.astype(jnp.float32))


def _first(
    key: Array, chance: Float[Array, "b h w"], at: Array
) -> Float[Array, "b h w"]:
    """Normal noise in which the token `at` rings first (see `coupling.py`)."""
    for_time, for_others = jax.random.split(key)
    time = jax.random.exponential(for_time, (len(chance), 1, 1))
    waiting = chance * time / chance.sum(axis=(1, 2), keepdims=True)
    others = jax.random.exponential(for_others, chance.shape)
    waiting = jnp.maximum(waiting + jnp.where(at, 0, others), SHORTEST)
    # exp(-E) is accurate for long waiting times, 1 - exp(-E) for short ones.
    return jnp.where(
        waiting > 0.5, ndtri(jnp.exp(-waiting)), -ndtri(-jnp.expm1(-waiting))
    )
