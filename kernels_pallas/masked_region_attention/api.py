"""Masked region attention: queries of some tiles over the keys of all of them."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from kernels_pallas import dispatch, tile_ids
from kernels_pallas.masked_region_attention.reference import Attended, Fresh

NAME = "masked_region_attention"


def masked_region_attention(
    query: Float[Array, "b q s a d"],
    key: Float[Array, "b t s a d"],
    value: Float[Array, "b t s a d"],
    active: Int[Array, "b k"],
    *,
    fresh: Fresh | None = None,
    out: Float[Array, "b q s a d"] | None = None,
    bias: Float32[Array, "b t s"] | None = None,
    listed: Int[Array, "b u"] | None = None,
    logsumexp: bool = False,
    implementation: str | None = None,
) -> Attended:
    """softmax(query key^T / sqrt(d) + bias) value for the queries of the active tiles.

    `active` are tiles of `query` and of `out`, each at most once; a negative one is
    padding, comes last, and costs nothing. Their outputs are written into `out`, whose
    other tiles stay as they are (without `out`: zeros). `fresh` keys and values are
    first written into `key` and `value`. All three are written in place where the
    caller lets go of them.
    `bias` is one number a key: minus infinity drops it, log(r) counts it r times.
    `listed` are the tiles of keys that are attended to (default: all), padded likewise.
    A query without any key gets zeros. Logits, softmax and sums are float32;
    `logsumexp` lets outputs over parts of the keys be combined.

    Raises ValueError for arrays that do not go together and for impossible numbers of
    tiles (where they are known: not while a program is traced), NotImplementedError
    where the implementation refuses (`kernels_pallas.dispatch`).
    """
    dtypes = {x.dtype for x in (query, key, value)}
    if fresh is not None:
        dtypes |= {fresh.key.dtype, fresh.value.dtype}
    if len(dtypes) > 1 or (out is not None and out.dtype != query.dtype):
        raise ValueError(
            f"queries, keys, values and outputs need one dtype, got {query.dtype=}, "
            f"{key.dtype=}, {value.dtype=}, fresh={fresh and fresh.key.dtype}, "
            f"out={out if out is None else out.dtype}: cast them"
        )
    if active.shape[1] > query.shape[1]:
        raise ValueError(
            f"{active.shape[1]} active tiles of {query.shape[1]}: each at most once"
        )
    tile_ids.check("active", active, query.shape[1])
    if fresh is not None:
        tile_ids.check("fresh.tiles", fresh.tiles, key.shape[1])
    if listed is not None:
        tile_ids.check("listed", listed, key.shape[1])
    out = jnp.zeros_like(query) if out is None else out
    attend = dispatch.variant(NAME, implementation, query)
    interpret = dispatch.choose(implementation).endswith("_interpreted")
    return attend(
        query, key, value, active, fresh, out, bias, listed, logsumexp, interpret
    )
