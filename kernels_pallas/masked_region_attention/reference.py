"""Masked region attention in plain jnp: the definition of the kernel.

Letters: b batch, q tiles of queries, t tiles of keys, s tokens in a tile, a heads,
d head width; k active tiles, j fresh tiles.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from kernels_pallas.products import exact


class Fresh(NamedTuple):
    """New keys and values of some tiles.

    Attributes:
        key: the keys of these tiles.
        value: the values of these tiles.
        tiles: the ids of these tiles; a negative id is padding.
    """

    key: Float[Array, "b j s a d"]
    value: Float[Array, "b j s a d"]
    tiles: Int[Array, "b j"]


class Attended(NamedTuple):
    """The result of masked region attention.

    Attributes:
        out: the outputs of the active tiles, in their order; zeros at padding.
        key: the keys that were attended to, including the fresh ones.
        value: the values that were attended to, including the fresh ones.
        logsumexp: the logarithm of each query's sum of weights, minus infinity at
            padding; None unless requested.
    """

    out: Float[Array, "b k s a d"]
    key: Float[Array, "b t s a d"]
    value: Float[Array, "b t s a d"]
    logsumexp: Float32[Array, "b k s a"] | None


def attend(
    query: Float[Array, "b q s a d"],
    key: Float[Array, "b t s a d"],
    value: Float[Array, "b t s a d"],
    active: Int[Array, "b k"] | None,
    fresh: Fresh | None,
    bias: Float32[Array, "b t s"] | None,
    logsumexp: bool,
    interpret: bool = False,
) -> Attended:
    """softmax(query key^T / sqrt(d) + bias) value of the active tiles; see `api`."""
    if fresh is not None:
        key = put(key, fresh.tiles, fresh.key)
        value = put(value, fresh.tiles, fresh.value)
    offset = jnp.zeros(key.shape[:3], jnp.float32) if bias is None else bias
    taken = query if active is None else take(query, active)
    out, total = softmax(taken, key, value, offset)
    if active is not None:
        there = (active >= 0)[..., None, None]
        out = jnp.where(there[..., None], out, 0.0)
        total = jnp.where(there, total, -jnp.inf)
    out = out.astype(query.dtype)
    return Attended(out, key, value, total if logsumexp else None)


def softmax(
    query: Float[Array, "b k s a d"],
    key: Float[Array, "b t s a d"],
    value: Float[Array, "b t s a d"],
    offset: Float32[Array, "b t s"],
) -> tuple[Float32[Array, "b k s a d"], Float32[Array, "b k s a"]]:
    """Outputs in float32, and the logarithm of each query's sum of weights."""
    precision = exact(query.dtype)
    logits = jnp.einsum(
        "bksad,btzad->bksatz",
        query,
        key,
        precision=precision,
        preferred_element_type=jnp.float32,
    )
    logits = logits * query.shape[-1] ** -0.5 + offset[:, None, None, None]
    highest = jnp.max(logits, (-2, -1), keepdims=True)
    # If all keys are dropped, this is exp(-inf - 0) = 0 and not exp(-inf + inf).
    highest = jnp.where(jnp.isfinite(highest), highest, 0.0)
    weights = jnp.exp(logits - highest)
    total = weights.sum((-2, -1))
    out = jnp.einsum(
        "bksatz,btzad->bksad",
        weights.astype(value.dtype),
        value,
        precision=precision,
        preferred_element_type=jnp.float32,
    )
    out = out / jnp.where(total > 0, total, 1.0)[..., None]
    return out, highest[..., 0, 0] + jnp.log(total)


def take(x: Array, tiles: Int[Array, "b k"]) -> Array:
    """The tiles with these ids, per row of the batch; the first tile for padding."""
    return x[jnp.arange(len(x))[:, None], jnp.maximum(tiles, 0)]


def put(x: Array, tiles: Int[Array, "b k"], new: Array) -> Array:
    """`x` with the tiles of these ids replaced by `new`; padding is ignored."""
    place = jnp.where(tiles < 0, x.shape[1], tiles)
    return x.at[jnp.arange(len(x))[:, None], place].set(new, mode="drop")
