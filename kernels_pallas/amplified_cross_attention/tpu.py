"""Amplified cross-attention in Pallas for TPUs (Mosaic TPU).

Arrays are reshaped to [b, n, a * d]: a head is a column of lanes, so that nothing is
transposed. A grid step has all keys of some heads on the chip, so its softmax is a
plain one, in base 2; gain and bias are one row each, applied to the logits.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Float32

from kernels_pallas import dispatch, mosaic
from kernels_pallas.amplified_cross_attention import blocks
from kernels_pallas.amplified_cross_attention.reference import Text
from kernels_pallas.products import LOWEST, exact

refusal = mosaic.refusal


def attend(
    query: Float[Array, "b n a d"],
    text: Text,
    residual: Float[Array, "b n a d"] | None,
    interpret: bool = False,
    block: blocks.QueryBlock | None = None,
) -> Float[Array, "b n a d"]:
    """The Mosaic kernel, with the reference's signature.

    If `block` is None, `blocks.fitted` gives it for the device.
    """
    b, n, a, d = query.shape
    m = text.key.shape[1]
    if block is None:
        kind = dispatch.device()[1]
        block = blocks.fitted(kind, m, a, d, query.dtype.itemsize)
    merged = lambda x: x.reshape(*x.shape[:2], a * d)
    lanes = block.heads * d
    rows = pl.BlockSpec((1, block.rows, lanes), lambda b, a, i: (b, i, a))
    keys = pl.BlockSpec((1, m, lanes), lambda b, a, i: (b, 0, a))
    numbers = pl.BlockSpec((1, 3, m), lambda b, a, i: (b, 0, 0))
    operands = [*map(merged, (query, *text[:2])), numbers_of(text, d)]
    specs = [rows, keys, keys, numbers]
    if residual is not None:
        operands.append(merged(residual))
        specs.append(rows)
    out = pl.pallas_call(
        partial(kernel, block.heads, d),
        out_shape=jax.ShapeDtypeStruct(operands[0].shape, query.dtype),
        grid=(b, a // block.heads, pl.cdiv(n, block.rows)),
        in_specs=specs,
        out_specs=rows,
        compiler_params=pltpu.CompilerParams(dimension_semantics=("parallel",) * 3),
        cost_estimate=cost(query, m, residual is not None),
        interpret=pltpu.InterpretParams() if interpret else False,
        name="amplified_cross_attention",
    )(*operands)
    return out.reshape(query.shape)


def numbers_of(text: Text, width: int) -> Float32[Array, "b 3 m"]:
    """Per key: the factor and addend of its logits in base 2, and the output's gain."""
    base = math.log2(math.e)
    gain = jnp.broadcast_to(text.output_gain[:, None], text.bias.shape)
    return jnp.stack([text.gain * (width**-0.5 * base), text.bias * base, gain], axis=1)


def cost(query: Array, m: int, added: bool) -> pl.CostEstimate:
    """The cost of attention over m keys; `added` says whether there is a residual."""
    b, n, a, d = query.shape
    rows = (3 if added else 2) * n + 2 * m
    return pl.CostEstimate(
        flops=4 * b * n * m * a * d,
        transcendentals=b * n * m * a,
        bytes_accessed=b * a * d * query.dtype.itemsize * rows,
    )


def kernel(
    heads: int, width: int, query: Any, key: Any, value: Any, numbers: Any, *refs: Any
) -> None:
    """Computes a block of queries of some heads.

    `refs` are the residual, if there is one, and the outputs.
    """
    *residual, out = refs
    factor, offset, gain = numbers[0, 0:1], numbers[0, 1:2], numbers[0, 2:3, 0:1]
    for head in range(heads):
        of_head = slice(head * width, (head + 1) * width)
        q, k, v = (x[0, :, of_head] for x in (query, key, value))
        attended = one_head(q, k, v, factor, offset)
        attended = attended * jnp.broadcast_to(gain, attended.shape)
        if residual:
            attended = attended + residual[0][0, :, of_head].astype(jnp.float32)
        out[0, :, of_head] = attended.astype(out.dtype)


def one_head(
    query: Float[Array, "r d"],
    key: Float[Array, "m d"],
    value: Float[Array, "m d"],
    factor: Float32[Array, "1 m"],
    offset: Float32[Array, "1 m"],
) -> Float32[Array, "r d"]:
    """The softmax over all keys, and its product with the values."""
    product = partial(
        jax.lax.dot_general,
        precision=exact(query.dtype),
        preferred_element_type=jnp.float32,
    )
    logits = product(query, key, (((1,), (1,)), ((), ())))
    logits = logits * jnp.broadcast_to(factor, logits.shape)
    logits = logits + jnp.broadcast_to(offset, logits.shape)
    highest = jnp.maximum(logits.max(axis=1, keepdims=True), LOWEST)
    weights = jnp.exp2(logits - highest)
    total = weights.sum(axis=1, keepdims=True)
    out = product(weights.astype(value.dtype), value, (((1,), (0,)), ((), ())))
    return out / jnp.where(total > 0, total, 1.0)
