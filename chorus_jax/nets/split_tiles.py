"""Attention from active tiles to held keys, split over the mesh in `jax.set_mesh`.

Held keys and values stay on their devices (see `tile_keys`); the active tiles' queries,
keys and values are sent there. If tokens are exchanged for heads, each device attends
to all tiles with its own heads. In a ring, each device attends to its own tiles with
all queries, and the partial results are combined.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.devices import sharding
from chorus_jax.nets.context_parallel import (
    ABSENT,
    ContextSplit,
    PartialAttention,
    joined_shares,
)
from chorus_jax.nets.split_attention import in_shares, shared
from kernels_pallas.masked_region_attention.reference import Fresh

Part = Callable[..., tuple[Array, Array | None]]


class FreshTokens(NamedTuple):
    """New keys and values of some tiles: `Fresh`, not yet split into tiles.

    Attributes:
        key: the keys of these tiles' tokens.
        value: the values of these tiles' tokens.
        tiles: the indices of the tiles; a negative one is padding.
    """

    key: Float[Array, "b n a d"]
    value: Float[Array, "b n a d"]
    tiles: Int[Array, "b k"]


def split_tiles(
    attend: Part,
    query: Float[Array, "b n a d"],
    key: Float[Array, "b t s a d"],
    value: Float[Array, "b t s a d"],
    fresh: FreshTokens | None,
    bias: Float32[Array, "b t s"] | None,
    count: int | None,
) -> Float[Array, "b n a d"]:
    """Attention to tiles, with the queries' heads and tokens split over the mesh.

    Queries are split by tokens, not by tiles, so that the devices share any number of
    tiles evenly.

    Args:
        attend: attention on one device, with all tokens in tiles:
            `attend(query, key, value, fresh, bias, sums)`.
        query: queries of whole tiles.
        key: keys of all tiles.
        value: values of all tiles.
        fresh: new keys and values of some tiles, written over the old ones before
            attention.
        bias: one number per key, added to its logits.
        count: the number of tiles before the padding tiles at the end of `key`; None if
            there is no padding.
    """
    split, n, size = ContextSplit.of(query.shape[2]), query.shape[1], key.shape[2]
    there = key.shape[1] if count is None else count
    key, value = (sharding.whole_shares(x, 1, split.size) for x in (key, value))
    bias = with_absent(bias, key, there)
    rows = sharding.spec(("batch", "tokens", "heads", None))
    held = PartitionSpec(rows[0], split.ring or None, None, split.heads, None)
    new = None if fresh is None else (rows, rows, PartitionSpec(rows[0], None))
    flat = None if bias is None else PartitionSpec(rows[0], split.ring or None, None)
    own: tuple | None = None
    added = in_shares(query).shape[1] - n
    if fresh is not None:
        own = (in_shares(fresh.key), in_shares(fresh.value), fresh.tiles)

    padded = lambda x: jnp.pad(x, [(0, 0), (0, added)] + [(0, 0)] * (x.ndim - 2))

    def local(
        query: Array, key: Array, value: Array, fresh: tuple | None, bias: Array | None
    ) -> Array:
        tiles = lambda x: tiled(together(split, x)[:, :n], size)
        written = None
        if fresh is not None:
            ids = among(fresh[2], split.place() * key.shape[1], key.shape[1])
            written = Fresh(tiles(fresh[0]), tiles(fresh[1]), ids)
        out, total = attend(tiles(query), key, value, written, bias, bool(split.ring))
        out = padded(out.reshape(len(out), n, *out.shape[3:]))
        if total is not None:
            total = padded(total.reshape(len(out), n, -1))
            out = joined_shares(PartialAttention(out, total), split.ring)
        return split.to_tokens(out.astype(query.dtype))

    return shared(local, query, (key, value, own, bias), (held, held, new, flat))


def with_absent(
    bias: Float32[Array, "b t s"] | None, key: Float[Array, "b n s a d"], there: int
) -> Float32[Array, "b n s"] | None:
    """The bias with `ABSENT` for the padding tiles, which follow the first `there`
    tiles; unchanged if there are none."""
    b, tiles, size = key.shape[:3]
    if tiles == there:
        return bias
    none = jnp.full((b, tiles - there, size), ABSENT, jnp.float32)
    own = jnp.zeros((b, there, size), jnp.float32) if bias is None else bias[:, :there]
    return jnp.concatenate([own, none], axis=1)


def together(split: ContextSplit, x: Float[Array, "b n a d"]) -> Array:
    """Gathers the tokens of all devices, for this device's heads."""
    x = split.to_heads(x)
    if not split.ring:
        return x
    return jax.lax.all_gather(x, split.ring, axis=1, tiled=True)


def among(tiles: Int[Array, "b k"], first: Array, count: int) -> Int[Array, "b k"]:
    """The indices of tiles relative to tile `first`; -1 for tiles outside the `count`
    tiles that begin there."""
    own = tiles - first
    return jnp.where((own >= 0) & (own < count), own, -1)


def tiled(x: Float[Array, "b n a d"], size: int) -> Float[Array, "b k s a d"]:
    """Splits the axis of tokens into tiles of `size` tokens."""
    return x.reshape(x.shape[0], -1, size, *x.shape[2:])
