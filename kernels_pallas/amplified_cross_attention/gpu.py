"""Amplified cross-attention in Pallas for GPUs (Triton).

A program computes a block of queries of one head; the few keys come from the cache.
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
from kernels_pallas.amplified_cross_attention.reference import Text
from kernels_pallas.gpu_block import GpuBlock

refusal = triton_softmax.refusal


def attend(
    query: Float[Array, "b n a d"],
    text: Text,
    residual: Float[Array, "b n a d"] | None,
    interpret: bool = False,
    block: GpuBlock | None = None,
) -> Float[Array, "b n a d"]:
    """The Triton kernel, with the reference's signature.

    If `block` is None, `blocks.TRITON` or the default for the device gives it.
    """
    b, n, a, _ = query.shape
    if block is None:
        kind, itemsize = dispatch.device()[1], query.dtype.itemsize
        block = gpu_block.fitted(blocks.TRITON, kind, itemsize)
    operands = [query, *text]
    if residual is not None:
        operands.append(residual)
    return pl.pallas_call(
        partial(kernel, block, residual is not None),
        out_shape=jax.ShapeDtypeStruct(query.shape, query.dtype),
        grid=triton_softmax.grid(n, block, a, b),
        compiler_params=triton_softmax.parameters(block),
        interpret=interpret,
        name="amplified_cross_attention",
    )(*operands)


def kernel(
    block: GpuBlock,
    added: bool,
    query: Any,
    key: Any,
    value: Any,
    gain: Any,
    bias: Any,
    output_gain: Any,
    *refs: Any,
) -> None:
    """Computes a block of queries of one head over the text."""
    i, head, row = (pl.program_id(axis) for axis in range(3))
    place = i * block.query + jnp.arange(block.query)
    there, m = place < query.shape[1], key.shape[1]

    def keys(j: Any) -> triton_softmax.KeyBlock:
        where = j * block.key + jnp.arange(block.key)
        inside = where < m
        read = lambda ref: triton_softmax.read(ref, row, where, head, inside)
        base = math.log2(math.e)
        factor = plgpu.load(gain.at[row, where], mask=inside, other=0.0)
        offset = plgpu.load(bias.at[row, where], mask=inside, other=-jnp.inf)
        factor = factor * (query.shape[-1] ** -0.5 * base)
        return triton_softmax.KeyBlock(
            read(key), read(value), factor[None, :], offset * base
        )

    x = triton_softmax.read(query, row, place, head, there)
    steps = pl.cdiv(m, block.key)
    attended = triton_softmax.attend(x, keys, steps)[0] * output_gain[row]
    if added:
        more = triton_softmax.read(refs[0], row, place, head, there)
        attended = attended + more.astype(jnp.float32)
    triton_softmax.write(refs[-1], row, place, head, there, attended)
