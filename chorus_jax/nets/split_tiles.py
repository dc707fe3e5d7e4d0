"""Attention of tiles over held ones, split over the mesh in `jax.set_mesh`.

Held keys stay where they are (see `tile_keys`): the tiles that are run come to them.
Where tokens are exchanged for heads, each device attends with its heads to all tiles;
in a ring, with all queries to its own tiles, and the parts are joined.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Float32

from chorus_jax.devices import sharding
from chorus_jax.nets.context_parallel import (
    ABSENT,
    ContextSplit,
    PartialAttention,
    joined_shares,
)
from chorus_jax.nets.split_attention import in_shares
from kernels_pallas.masked_region_attention.reference import Fresh

Part = Callable[..., tuple[Array, Array | None]]


def split_tiles(
    attend: Part,
    query: Float[Array, "b k s a d"],
    key: Float[Array, "b t s a d"],
    value: Float[Array, "b t s a d"],
    fresh: Fresh | None,
    bias: Float32[Array, "b t s"] | None,
    count: int | None,
) -> Float[Array, "b k s a d"]:
    """Heads and tiles of queries split over the mesh.

    Tiles of zeros fill up what does not divide: else all devices would compute all.

    Args:
        attend: on one device: `attend(query, key, value, fresh, bias, sums)`.
        query: queries of some tiles.
        key: keys of all tiles.
        value: their values.
        fresh: keys and values that take the place of those of some tiles.
        bias: one number per key.
        count: the tiles of keys that there are, before others; None for all.
    """
    split = ContextSplit.of(query.shape[3])
    there = key.shape[1] if count is None else count
    key, value = (sharding.whole_shares(x, 1, split.size) for x in (key, value))
    bias = with_absent(bias, key, there)
    rows = sharding.spec(("batch", "tokens", None, "heads", None))
    held = PartitionSpec(rows[0], split.ring or None, None, split.heads, None)
    new = fresh and Fresh(rows, rows, PartitionSpec(rows[0], None))  # type: ignore
    flat = None if bias is None else PartitionSpec(rows[0], split.ring or None, None)

    def local(
        query: Array, key: Array, value: Array, fresh: Fresh | None, bias: Array | None
    ) -> Array:
        fresh = fresh and brought(split, fresh, key.shape[1])
        operands = (together(split, query), key, value, fresh, bias)
        out, total = attend(*operands, bool(split.ring))
        if total is not None:
            out = joined_shares(PartialAttention(out, total), split.ring)
        return split.to_tokens(out.astype(query.dtype))

    out = jax.shard_map(
        local,
        in_specs=(rows, held, held, new, flat),
        out_specs=rows,
        check_vma=False,
    )(in_shares(query), key, value, fresh and fresh_shares(fresh), bias)
    return out[:, : query.shape[1]]


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


def fresh_shares(fresh: Fresh) -> Fresh:
    """As many fresh tiles as devices share equally; those added go nowhere."""
    key, value = in_shares(fresh.key), in_shares(fresh.value)
    added = key.shape[1] - fresh.tiles.shape[1]
    return Fresh(
        key, value, jnp.pad(fresh.tiles, ((0, 0), (0, added)), constant_values=-1)
    )


def together(split: ContextSplit, x: Float[Array, "b k s a d"]) -> Array:
    """The tiles of all devices, of this device's heads."""
    x = split.to_heads(x)
    if not split.ring:
        return x
    return jax.lax.all_gather(x, split.ring, axis=1, tiled=True)


def brought(split: ContextSplit, fresh: Fresh, tiles: int) -> Fresh:
    """Fresh tiles of all devices, by their numbers among this device's `tiles`.

    Those of others are out of range and go nowhere.
    """
    own = fresh.tiles - split.place() * tiles
    there = (fresh.tiles >= 0) & (own >= 0) & (own < tiles)
    key, value = together(split, fresh.key), together(split, fresh.value)
    return Fresh(key, value, jnp.where(there, own, -1))
