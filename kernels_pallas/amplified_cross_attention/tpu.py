"""Amplified cross-attention in Pallas for TPUs (Mosaic TPU).

Arrays are seen as [b, t, s, a * d]: a head is a column of lanes, so that nothing is
transposed. A grid step has all keys of some heads on the chip, so its softmax is a
plain one, in base 2; gain and bias are one row each, applied to the logits.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Float32

from kernels_pallas import dispatch, mosaic
from kernels_pallas.amplified_cross_attention import blocks
from kernels_pallas.amplified_cross_attention.reference import Region, Text
from kernels_pallas.products import LOWEST, exact

refusal = mosaic.refusal


class Plan(NamedTuple):
    """The sizes of a call; `active` is the number of tiles, None without a region."""

    block: blocks.Block
    width: int
    residual: bool
    active: int | None

    @property
    def lanes(self) -> int:
        """Columns of a block."""
        return self.block.heads * self.width


def attend(
    query: Float[Array, "b n a d"],
    text: Text,
    residual: Float[Array, "b n a d"] | None,
    region: Region | None,
    interpret: bool = False,
    block: blocks.Block | None = None,
) -> Float[Array, "b n a d"]:
    """As the reference; `block` from the table unless given."""
    b, n, a, d = query.shape
    rows, active = None, None
    if region is not None:
        rows, active = region.size, region.active.shape[1]
    if block is None:
        kind, m = dispatch.device()[1], text.key.shape[1]
        block = blocks.fitted(kind, rows, m, a, d, query.dtype.itemsize)
    plan = Plan(block, d, residual is not None, active)
    out = call(plan, query, text, residual, region, interpret)
    return out.reshape(query.shape)


def call(
    plan: Plan,
    query: Array,
    text: Text,
    residual: Array | None,
    region: Region | None,
    interpret: bool,
) -> Array:
    """The outputs, seen as the queries are."""
    b, n, a, d = query.shape
    tiles = lambda x: x.reshape(b, -1, n if region is None else region.size, a * d)
    ids = jnp.zeros(1, jnp.int32)
    if region is not None:
        ids = region.active.astype(jnp.int32).reshape(-1)
    columns, m = a // plan.block.heads, text.key.shape[1]
    steps = pl.cdiv(n, plan.block.rows) if plan.active is None else plan.active
    rows = pl.BlockSpec((1, 1, plan.block.rows, plan.lanes), partial(query_at, plan))
    keys = pl.BlockSpec((1, m, plan.lanes), lambda b, a, i, ids: (b, 0, a))
    numbers = pl.BlockSpec((1, 3, m), lambda b, a, i, ids: (b, 0, 0))
    operands = [tiles(query), *(x.reshape(b, m, -1) for x in text[:2])]
    operands.append(numbers_of(text, d))
    specs = [rows, keys, keys, numbers]
    if residual is not None:
        operands.append(tiles(residual))
        specs.append(rows)
    aliases, scratch, out_spec = {}, [], rows
    if region is not None:
        operands.append(tiles(region.out))
        out_spec = pl.BlockSpec(memory_space=pl.ANY)
        specs.append(out_spec)
        aliases = {len(operands): 0}
        here = pltpu.VMEM((plan.block.rows, plan.lanes), query.dtype)
        scratch = [here, pltpu.SemaphoreType.DMA]
    return pl.pallas_call(
        partial(kernel, plan),
        out_shape=jax.ShapeDtypeStruct(operands[0].shape, query.dtype),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(b, columns, steps),
            in_specs=specs,
            out_specs=out_spec,
            scratch_shapes=scratch,
        ),
        input_output_aliases=aliases,
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary")
        ),
        cost_estimate=cost(plan, query, m),
        interpret=pltpu.InterpretParams() if interpret else False,
        name="amplified_cross_attention",
    )(ids, *operands)


def query_at(plan: Plan, b: Any, a: Any, i: Any, ids: Any) -> tuple:
    """Which block of the queries a step has: rows, or an active tile.

    At padding it stays at tile 0, so that nothing more is copied.
    """
    if plan.active is None:
        return b, 0, i, a
    return b, jnp.maximum(ids[b * plan.active + i], 0), 0, a


def numbers_of(text: Text, width: int) -> Float32[Array, "b 3 m"]:
    """Of each key the factor of its logits and what is added, in base 2, and the
    output's gain."""
    base = math.log2(math.e)
    gain = jnp.broadcast_to(text.output_gain[:, None], text.bias.shape)
    return jnp.stack([text.gain * (width**-0.5 * base), text.bias * base, gain], axis=1)


def cost(plan: Plan, query: Array, m: int) -> pl.CostEstimate:
    """Operations and bytes when no tile is padding."""
    b, n, a, d = query.shape
    rows = n if plan.active is None else plan.active * plan.block.rows
    arrays = 3 if plan.residual else 2
    return pl.CostEstimate(
        flops=4 * b * rows * m * a * d,
        transcendentals=b * rows * m * a,
        bytes_accessed=b * a * d * query.dtype.itemsize * (arrays * rows + 2 * m),
    )


def kernel(
    plan: Plan, ids: Any, query: Any, key: Any, value: Any, numbers: Any, *rest: Any
) -> None:
    """A block of queries of some heads."""
    residual = rest[0] if plan.residual else None
    if plan.active is None:
        run(plan, query, key, value, numbers, residual, rest[-1].at[0, 0])
        return
    out, here, sent = rest[-3:]
    b, a, i = (pl.program_id(axis) for axis in range(3))
    tile = ids[b * plan.active + i]
    columns = pl.ds(pl.multiple_of(a * plan.lanes, plan.lanes), plan.lanes)
    if plan.lanes == out.shape[-1]:
        columns = slice(None)

    @pl.when(tile >= 0)
    def _() -> None:
        run(plan, query, key, value, numbers, residual, here)
        copy = pltpu.make_async_copy(here, out.at[b, tile, :, columns], sent)
        copy.start()
        copy.wait()


def run(
    plan: Plan, query: Any, key: Any, value: Any, numbers: Any, residual: Any, out: Any
) -> None:
    """The outputs of a block of queries."""
    factor, offset, gain = numbers[0, 0:1], numbers[0, 1:2], numbers[0, 2:3, 0:1]
    for head in range(plan.block.heads):
        of_head = slice(head * plan.width, (head + 1) * plan.width)
        found = one_head(
            query[0, 0, :, of_head],
            key[0, :, of_head],
            value[0, :, of_head],
            factor,
            offset,
        )
        found = found * jnp.broadcast_to(gain, found.shape)
        if residual is not None:
            found = found + residual[0, 0, :, of_head].astype(jnp.float32)
        out[:, of_head] = found.astype(out.dtype)


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
