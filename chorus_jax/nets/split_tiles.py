"""Attention of tiles over held ones, split over the mesh in `jax.set_mesh`.

Held keys stay where they are (see `tile_keys`): the tiles that are run come to them.
Where tokens are exchanged for heads, each device attends with its heads to all tiles;
in a ring, with all queries to its own tiles, and the parts are joined.
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
    """`Fresh` before its tokens are in tiles.

    Attributes:
        key: the keys of these tiles.
        value: the values of these tiles.
        tiles: their numbers; a negative one is padding.
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
    """Heads and tokens of queries split over the mesh.

    They are split by tokens, not by tiles: any number of tiles is shared out evenly.

    Args:
        attend: on one device: `attend(query, key, value, fresh, bias, sums)`, of tiles.
        query: queries of whole tiles.
        key: keys of all tiles.
        value: their values.
        fresh: keys and values that take the place of those of some tiles.
        bias: one number per key.
        count: the tiles of keys that there are, before others; None for all.
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
    """The bias with that of tiles of keys that are not there."""
    b, tiles, size = key.shape[:3]
    if tiles == there:
        return bias
    none = jnp.full((b, tiles - there, size), ABSENT, jnp.float32)
    own = jnp.zeros((b, there, size), jnp.float32) if bias is None else bias
    return jnp.concatenate([own, none], axis=1)


def together(split: ContextSplit, x: Float[Array, "b n a d"]) -> Array:
    """The tokens of all devices, of this device's heads."""
    x = split.to_heads(x)
    if not split.ring:
        return x
    return jax.lax.all_gather(x, split.ring, axis=1, tiled=True)


def among(tiles: Int[Array, "b k"], first: Array, count: int) -> Int[Array, "b k"]:
    """The numbers of tiles among `count` from the first on; -1 for others."""
    own = tiles - first
    return jnp.where((own >= 0) & (own < count), own, -1)


def tiled(x: Float[Array, "b n a d"], size: int) -> Float[Array, "b k s a d"]:
    """Tokens in tiles."""
    return x.reshape(x.shape[0], -1, size, *x.shape[2:])
