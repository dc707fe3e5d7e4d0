"""Masked region attention in plain jnp: the definition of the kernel.

Letters: b batch, q tiles of queries, t tiles of keys, s tokens in a tile, a heads,
d head width; k active tiles, j fresh tiles, u listed tiles.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from kernels_pallas.products import exact


class Fresh(NamedTuple):
    """Keys and values that take the place of those of `tiles` (negative: padding)."""

    key: Float[Array, "b j s a d"]
    value: Float[Array, "b j s a d"]
    tiles: Int[Array, "b j"]


class Attended(NamedTuple):
    """The output, the keys and values it came from, and each query's logarithm of its
    sum of weights, minus infinity at padding, if it was asked for."""

    out: Float[Array, "b q s a d"]
    key: Float[Array, "b t s a d"]
    value: Float[Array, "b t s a d"]
    logsumexp: Float32[Array, "b k s a"] | None


def attend(
    query: Float[Array, "b q s a d"],
    key: Float[Array, "b t s a d"],
    value: Float[Array, "b t s a d"],
    active: Int[Array, "b k"],
    fresh: Fresh | None,
    out: Float[Array, "b q s a d"],
    bias: Float32[Array, "b t s"] | None,
    listed: Int[Array, "b u"] | None,
    logsumexp: bool,
    interpret: bool = False,
) -> Attended:
    """softmax(query key^T / sqrt(d) + bias) value of the active tiles; see the api."""
    if fresh is not None:
        key = put(key, fresh.tiles, fresh.key)
        value = put(value, fresh.tiles, fresh.value)
    keys, values = key, value
    offset = jnp.zeros(key.shape[:3], jnp.float32) if bias is None else bias
    if listed is not None:
        there = (listed >= 0)[..., None]
        offset = jnp.where(there, take(offset, listed), -jnp.inf)
        # A tile that is not listed may hold anything, nan too.
        keys, values = (
            jnp.where(there[..., None, None], take(x, listed), jnp.zeros((), x.dtype))
            for x in (key, value)
        )
    found, total = softmax(take(query, active), keys, values, offset)
    total = jnp.where((active >= 0)[..., None, None], total, -jnp.inf)
    found = put(out, active, found.astype(out.dtype))
    return Attended(found, key, value, total if logsumexp else None)


def softmax(
    query: Float[Array, "b k s a d"],
    key: Float[Array, "b u s a d"],
    value: Float[Array, "b u s a d"],
    offset: Float32[Array, "b u s"],
) -> tuple[Float32[Array, "b k s a d"], Float32[Array, "b k s a"]]:
    """Outputs in float32, and the logarithm of each query's sum of weights."""
    precision = exact(query.dtype)
    logits = jnp.einsum(
        "bksad,buzad->bksauz",
        query,
        key,
        precision=precision,
        preferred_element_type=jnp.float32,
    )
    logits = logits * query.shape[-1] ** -0.5 + offset[:, None, None, None]
    highest = jnp.max(logits, (-2, -1), keepdims=True)
    # Where all keys are dropped: exp(-inf - 0) = 0, not exp(-inf + inf).
    highest = jnp.where(jnp.isfinite(highest), highest, 0.0)
    weights = jnp.exp(logits - highest)
    total = weights.sum((-2, -1))
    out = jnp.einsum(
        "bksauz,buzad->bksad",
        weights.astype(value.dtype),
        value,
        precision=precision,
        preferred_element_type=jnp.float32,
    )
    out = out / jnp.where(total > 0, total, 1.0)[..., None]
    return out, highest[..., 0, 0] + jnp.log(total)


def take(x: Array, tiles: Int[Array, "b k"]) -> Array:
    """These tiles of each row; the first where there is padding."""
    return x[jnp.arange(len(x))[:, None], jnp.maximum(tiles, 0)]


def put(x: Array, tiles: Int[Array, "b k"], new: Array) -> Array:
    """`x` with these tiles replaced; padding goes nowhere."""
    place = jnp.where(tiles < 0, x.shape[1], tiles)
    return x.at[jnp.arange(len(x))[:, None], place].set(new, mode="drop")
