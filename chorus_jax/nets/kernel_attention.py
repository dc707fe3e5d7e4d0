"""Attention by our own Pallas kernels: of a region over all tiles, and over the text.

They run where they are faster than what they replace, the plain path of `attention`:
`kernel_choice` says what runs and why. `implementation=` names one of a kernel's, and
that one runs or raises. Attention of all tokens over each other is the vendor's.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Float32

from chorus_jax.devices import sharding
from chorus_jax.nets.attention import attend_here, attention, check_heads, part_here
from chorus_jax.nets.kernel_choice import region_choice, text_choice
from chorus_jax.nets.split_attention import in_shares, shared
from chorus_jax.nets.split_tiles import FreshTokens, split_tiles, tiled
from kernels_pallas.amplified_cross_attention.api import amplified_cross_attention
from kernels_pallas.masked_region_attention.api import masked_region_attention
from kernels_pallas.masked_region_attention.reference import Fresh, put


def over_tiles(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b t s a d"],
    value: Float[Array, "b t s a d"],
    fresh: FreshTokens | None = None,
    bias: Float32[Array, "b t s"] | None = None,
    *,
    count: int | None = None,
    implementation: str | None = None,
) -> Float[Array, "b n a d"]:
    """Attention of the tokens of some tiles over all tiles, some replaced first.

    Under `jax.set_mesh` heads are split, and the queries.

    Args:
        query: queries of whole tiles, tile by tile.
        key: keys of all tiles, laid out as `TileKeys` are over a mesh.
        value: their values.
        fresh: keys and values that take the place of those of some tiles.
        bias: one number per key.
        count: the tiles of keys that there are, before others; None for all.
        implementation: the name of one of the kernel's; None takes what
            `region_choice` says.
    """
    size = key.shape[2]
    tiles = jax.eval_shape(lambda x: tiled(x, size), query)
    name = implementation or region_choice(tiles, key, bias is not None).name
    attend = plain_part if name is None else partial(kernel_part, name)
    if not jax.sharding.get_abstract_mesh().empty:
        check_heads(query.shape[2])
        return split_tiles(attend, query, key, value, fresh, bias, count)
    written = fresh and Fresh(
        tiled(fresh.key, size), tiled(fresh.value, size), fresh.tiles
    )
    out, _ = attend(tiled(query, size), key, value, written, bias, False)
    return out.reshape(query.shape)


def kernel_part(
    implementation: str,
    query: Array,
    key: Array,
    value: Array,
    fresh: Fresh | None,
    bias: Array | None,
    sums: bool,
) -> tuple[Array, Array | None]:
    """The kernel's output and, if asked for, the logarithm of each sum of weights."""
    attended = masked_region_attention(
        query,
        key,
        value,
        fresh=fresh,
        bias=bias,
        logsumexp=sums,
        implementation=implementation,
    )
    return attended.out, attended.logsumexp


def plain_tiles(
    query: Array,
    key: Array,
    value: Array,
    fresh: Fresh | None,
    bias: Array | None,
) -> Array:
    """Attention by the plain path, on one device."""
    return plain_part(query, key, value, fresh, bias, False)[0]


def plain_part(
    query: Array,
    key: Array,
    value: Array,
    fresh: Fresh | None,
    bias: Array | None,
    sums: bool,
) -> tuple[Array, Array | None]:
    """`kernel_part` by the plain path: the fresh tiles are written first."""
    if fresh is not None:
        write = partial(written, tiles=fresh.tiles)
        key, value = write(key, new=fresh.key), write(value, new=fresh.value)
    b, *_, a, d = query.shape
    q, k, v = (x.reshape(b, -1, a, d) for x in (query, key, value))
    offset = None if bias is None else bias.reshape(b, -1)
    if not sums:
        return attend_here(q, k, v, offset).reshape(query.shape), None
    part = part_here(q, k, v, offset)
    return part.out.reshape(query.shape), part.total.reshape(query.shape[:-1])


def written(x: Array, tiles: Array, new: Array) -> Array:
    """Tiles replaced, the heads side by side: a TPU would lay out an axis of heads in
    another way, and copy."""
    merged = lambda x: x.reshape(*x.shape[:3], -1)
    return put(merged(x), tiles, merged(new)).reshape(x.shape)


def over_text(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
    bias: Float[Array, "b m"],
    gains: tuple[Float[Array, "b m"], Float[Array, " b"]] | None,
    residual: Float[Array, "b n a d"] | None,
    *,
    implementation: str | None = None,
) -> Float[Array, "b n a d"]:
    """Attention over the text, its keys and output amplified, plus the residual.

    `implementation` names one of the kernel's; None takes what `text_choice` says.
    Under `jax.set_mesh` heads and queries are split.
    """
    operands = (query, key, value, bias, gains, residual)
    name = implementation or text_choice(query, key).name
    if name is None:
        return plain_text(*operands)
    attend = partial(amplified, name)
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return attend(*operands)
    check_heads(query.shape[2])
    rows = sharding.spec(("batch", "tokens", "heads", None))
    columns = sharding.spec(("batch", None, "heads", None))
    flat = PartitionSpec(columns[0], None)
    scales = None if gains is None else (flat, PartitionSpec(columns[0]))
    if residual is not None:
        residual = in_shares(residual)
    specs = (columns, columns, flat, scales, None if residual is None else rows)
    gains = None if gains is None else (gains[0], gains[1])  # as `scales`
    return shared(attend, query, (key, value, bias, gains, residual), specs)


def plain_text(
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    gains: tuple[Array, Array] | None,
    residual: Array | None,
) -> Array:
    """Through the door of `attention`: the keys multiplied before the product."""
    if gains is None:
        out = attention(query, key, value, bias)
    else:
        of_keys, of_output = (x.astype(key.dtype) for x in gains)
        out = attention(query, key * of_keys[..., None, None], value, bias)
        out = out * of_output[:, None, None, None]
    return out if residual is None else out + residual


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def amplified(
    implementation: str,
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    gains: tuple[Array, Array] | None,
    residual: Array | None,
) -> Array:
    """The kernel's output; the gradient is the plain path's."""
    of_keys, of_output = (None, None) if gains is None else gains
    single = lambda x: None if x is None else x.astype(jnp.float32)
    return amplified_cross_attention(
        query,
        key,
        value,
        bias=single(bias),
        key_gain=single(of_keys),
        output_gain=single(of_output),
        residual=residual,
        implementation=implementation,
    )


def forward(implementation: str, *operands: Any) -> tuple[Array, tuple]:
    """The output, and what its gradient needs."""
    return amplified(implementation, *operands), operands


def backward(implementation: str, operands: tuple, cotangent: Array) -> tuple:
    """Cotangents of all operands."""
    return jax.vjp(plain_text, *operands)[1](cotangent)


amplified.defvjp(forward, backward)
