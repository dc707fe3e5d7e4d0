"""Attention of queries that are split over the mesh in `jax.set_mesh`.

Tokens that the devices do not divide are padded with zeros; otherwise every device
would compute all of them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array

from chorus_jax.devices import sharding
from chorus_jax.nets.context_parallel import (
    ABSENT,
    ContextSplit,
    PartialAttention,
    round_ring,
)


def over_whole_keys(
    attend: Callable[..., Array],
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None,
) -> Array:
    """Attention where each device has all keys of its own heads."""
    columns = sharding.spec(("batch", None, "heads", None))
    flat = None if bias is None else PartitionSpec(columns[0], None)
    return shared(attend, query, (key, value, bias), (columns, columns, flat))


def over_exchange(
    split: ContextSplit,
    attend: Callable[..., Array],
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None,
) -> Array:
    """Attention to keys that are split by tokens, which exchanges tokens for heads."""
    m, rows = key.shape[1], sharding.spec(("batch", "tokens", "heads", None))
    flat = None if bias is None else PartitionSpec(rows[0], None)

    def exchanged(q: Array, k: Array, v: Array, bias: Array | None) -> Array:
        q, k, v = (split.to_heads(x) for x in (q, k, v))
        return split.to_tokens(attend(q, k[:, :m], v[:, :m], bias))

    keys = (*(in_shares(x) for x in (key, value)), bias)
    return shared(exchanged, query, keys, (rows, rows, flat))


def over_ring(
    split: ContextSplit,
    attend: Callable[..., PartialAttention],
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None,
) -> Array:
    """Attention to keys that are split by tokens and pass round a ring in blocks; along
    another mesh axis tokens may be exchanged for heads."""
    b, m = key.shape[:2]
    key, value = (in_shares(x) for x in (key, value))
    added = key.shape[1] - m
    if added and bias is None:
        bias = jnp.zeros((b, m), jnp.float32)
    if added and bias is not None:
        bias = jnp.pad(bias, ((0, 0), (0, added)), constant_values=ABSENT)
    rows = sharding.spec(("batch", "tokens", "heads", None))
    flat = None if bias is None else PartitionSpec(rows[0], split.ring)

    def passed(q: Array, k: Array, v: Array, bias: Array | None) -> Array:
        q, k, v = (split.to_heads(x) for x in (q, k, v))
        blocks = (k, v) if bias is None else (k, v, bias)
        out = round_ring(attend, q, blocks, split.ring)
        return split.to_tokens(out.astype(q.dtype))

    return shared(passed, query, (key, value, bias), (rows, rows, flat))


def shared(
    attend: Callable[..., Array], query: Array, others: tuple, specs: tuple
) -> Array:
    """Runs `attend(query, *others)` with the queries split over heads and tokens;
    `specs` are the partitions of `others`."""
    rows = sharding.spec(("batch", "tokens", "heads", None))
    # check_vma: jax's kernels do not declare how their outputs vary over the mesh.
    out = jax.shard_map(
        attend, in_specs=(rows, *specs), out_specs=rows, check_vma=False
    )(in_shares(query), *others)
    return out[:, : query.shape[1]]


def in_shares(x: Array) -> Array:
    """Pads axis 1 (tokens or tiles) with zeros to a multiple of the devices that share
    tokens."""
    split = sharding.token_split(jax.sharding.get_abstract_mesh())
    return sharding.whole_shares(x, 1, split)
