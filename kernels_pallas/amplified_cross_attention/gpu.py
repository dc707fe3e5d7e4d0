"""Amplified cross-attention in Pallas for GPUs (Triton).

A program has a block of queries of a head; the few keys come from the cache.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
from jaxtyping import Array, Float

from kernels_pallas import dispatch, gpu_block, triton_softmax
from kernels_pallas.amplified_cross_attention import blocks
from kernels_pallas.amplified_cross_attention.reference import Region, Text
from kernels_pallas.gpu_block import GpuBlock

refusal = triton_softmax.refusal


def attend(
    query: Float[Array, "b n a d"],
    text: Text,
    residual: Float[Array, "b n a d"] | None,
    region: Region | None,
    interpret: bool = False,
    block: GpuBlock | None = None,
) -> Float[Array, "b n a d"]:
    """As the reference; `block` from the table unless given."""
    b, n, a, _ = query.shape
    if block is None:
        kind, itemsize = dispatch.device()[1], query.dtype.itemsize
        block = gpu_block.fitted(blocks.TRITON, kind, itemsize)
    operands, aliases, rows, size = [query, *text], {}, n, 0
    if residual is not None:
        operands.append(residual)
    if region is not None:
        rows, size = region.active.shape[1] * region.size, region.size
        operands += [region.active.astype(jnp.int32), region.out]
        aliases = {len(operands) - 1: 0}
    return pl.pallas_call(
        partial(kernel, block, size, residual is not None),
        out_shape=jax.ShapeDtypeStruct(query.shape, query.dtype),
        grid=triton_softmax.grid(rows, block, a, b),
        input_output_aliases=aliases,
        compiler_params=triton_softmax.parameters(block),
        interpret=interpret,
        name="amplified_cross_attention",
    )(*operands)


def kernel(
    block: GpuBlock,
    size: int,
    added: bool,
    query: Any,
    key: Any,
    value: Any,
    gain: Any,
    bias: Any,
    output_gain: Any,
    *rest: Any,
) -> None:
    """A block of queries of a head over the text."""
    i, head, row = (pl.program_id(axis) for axis in range(3))
    place = i * block.query + jnp.arange(block.query)
    at, there, m = place, place < query.shape[1], key.shape[1]
    if size:
        active = rest[1] if added else rest[0]
        at, there = triton_softmax.tile_rows(active, row, place, size, active.shape[1])

    def keys(j: Any) -> triton_softmax.Keys:
        where = j * block.key + jnp.arange(block.key)
        inside = where < m
        read = lambda ref: triton_softmax.read(ref, row, where, head, inside)
        base = math.log2(math.e)
        factor = plgpu.load(gain.at[row, where], mask=inside, other=0.0)
        offset = plgpu.load(bias.at[row, where], mask=inside, other=-jnp.inf)
        factor = factor * (query.shape[-1] ** -0.5 * base)
        return triton_softmax.Keys(
            read(key), read(value), factor[None, :], offset * base
        )

    steps = jnp.where(there.astype(jnp.int32).max() > 0, pl.cdiv(m, block.key), 0)
    x = triton_softmax.read(query, row, at, head, there)
    found = triton_softmax.attend(x, keys, steps)[0] * output_gain[row]
    if added:
        more = triton_softmax.read(rest[0], row, at, head, there)
        found = found + more.astype(jnp.float32)
    triton_softmax.write(rest[-1], row, at, head, there, found)
