"""Attention by our Pallas kernels: from a region to all tiles, and to the text.

The kernels run where they are faster than the plain path, `attention`; `kernel_choice`
decides and gives the reason. A named `implementation=` of a kernel runs or raises an
error. Self-attention of all tokens uses the vendors' kernels (see `attention`).
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
from chorus_jax.nets.split_tiles import FreshTokens, split_tiles, tiled, with_absent
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
    """Attention from the tokens of some tiles to all tiles.

    Under `jax.set_mesh` heads and query tokens are split over the devices.

    Args:
        query: queries of whole tiles, tile by tile.
        key: keys of all tiles, laid out over a mesh as in `TileKeys`.
        value: values of all tiles.
        fresh: new keys and values of some tiles, written over the old ones before
            attention.
        bias: one number per key, added to its logits.
        count: the number of tiles before the padding tiles at the end of `key`; None if
            there is no padding.
        implementation: one of the kernel's implementations; None takes what
            `region_choice` returns.
    """
    size = key.shape[2]
    tiles = jax.eval_shape(lambda x: tiled(x, size), query)
    name = implementation or region_choice(tiles, key, bias is not None).name
    attend = plain_part if name is None else partial(kernel_part, name)
    if not jax.sharding.get_abstract_mesh().empty:
        check_heads(query.shape[2])
        return split_tiles(attend, query, key, value, fresh, bias, count)
    bias = with_absent(bias, key, key.shape[1] if count is None else count)
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
    """The kernel's output and, if `sums`, the logarithm of each query's sum of
    weights."""
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
    """`kernel_part` by the plain path, which writes the fresh tiles into the keys and
    values first."""
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
    """`x` with some tiles replaced.

    Heads and channels are one axis during the write. With a separate axis of heads, a
    TPU would choose another layout and copy the whole array.
    """
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
    """Amplified cross-attention to the text, plus the residual.

    Under `jax.set_mesh` heads and query tokens are split over the devices.

    Args:
        query: queries of the video's tokens.
        key: keys of the text.
        value: values of the text.
        bias: one number per key, added to its logits.
        gains: factors of each key, and of each request's output; None for none.
        residual: added to the output; None for none.
        implementation: one of the kernel's implementations; None takes what
            `text_choice` returns.
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
    gains = None if gains is None else (gains[0], gains[1])  # a tuple, like `scales`
    return shared(attend, query, (key, value, bias, gains, residual), specs)


def plain_text(
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    gains: tuple[Array, Array] | None,
    residual: Array | None,
) -> Array:
    """`over_text` by the plain path, with the gains multiplied onto keys and output."""
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
    """The output, and the operands that its gradient needs."""
    return amplified(implementation, *operands), operands


def backward(implementation: str, operands: tuple, cotangent: Array) -> tuple:
    """Cotangents of all operands."""
    return jax.vjp(plain_text, *operands)[1](cotangent)


amplified.defvjp(forward, backward)
