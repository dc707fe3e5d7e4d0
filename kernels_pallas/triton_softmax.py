"""Online softmax (arXiv 2205.14135) over blocks, shared by the Triton kernels.

Rows are read by their indices, so tiles are read directly by their ids, without a
separate gather.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu
from jaxtyping import Array

from kernels_pallas.dispatch import Query
from kernels_pallas.gpu_block import WIDEST, GpuBlock
from kernels_pallas.products import LOWEST

# Offsets into a buffer are signed 32-bit numbers.
MOST_NUMBERS = 2**31


class KeyBlock(NamedTuple):
    """A block of keys and values, with a factor and an offset for their logits.

    Attributes:
        key: the keys.
        value: the values.
        factor: multiplies the logits; includes the conversion to base 2.
        offset: added to the multiplied logits, in base 2.
    """

    key: Array
    value: Array
    factor: Array | float
    offset: Array


def refusal(query: Query, *keys: Query) -> str | None:
    """The reason why arrays [..., a, d] are refused; None if they are accepted."""
    dtype, width = query.dtype, query.shape[-1]
    if dtype not in (jnp.bfloat16, jnp.float16, jnp.float32):
        return f"{dtype} is none of bfloat16, float16, float32"
    if width < 16 or width & (width - 1):
        return f"heads of width {width}: Triton wants a power of two from 16 on"
    if width > WIDEST:
        return f"heads of width {width}: blocks fit on the chip up to {WIDEST}"
    for x in (query, *keys):
        if math.prod(x.shape) >= MOST_NUMBERS:
            return (
                f"an array of shape {x.shape}: offsets into its {math.prod(x.shape)} "
                "numbers do not fit in 32 bits; take fewer rows of the batch at a time"
            )
    return None


def attend(
    query: Array, keys: Callable[[Any], KeyBlock], steps: Any
) -> tuple[Array, Array]:
    """Online softmax of a block of queries over `steps` blocks of keys.

    Args:
        query: the queries [r, d].
        keys: returns the block of keys of a number below `steps`.
        steps: the number of blocks of keys.

    Returns:
        Outputs [r, d] in float32, and natural logarithms of the sums of weights [r].
    """
    single = query.dtype == jnp.float32
    product = partial(
        jnp.dot,
        precision=jax.lax.Precision.HIGHEST if single else None,
        preferred_element_type=jnp.float32,
    )

    def step(i: Any, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        sums, before, total = carry
        key, value, factor, offset = keys(i)
        logits = product(query, key.T) * factor + offset[None, :]
        highest = jnp.maximum(before, logits.max(axis=1))
        weights = jnp.exp2(logits - highest[:, None])
        fade = jnp.exp2(before - highest)
        sums = sums * fade[:, None] + product(weights.astype(value.dtype), value)
        return sums, highest, total * fade + weights.sum(axis=1)

    start = (
        jnp.zeros(query.shape, jnp.float32),
        jnp.full(query.shape[0], LOWEST, jnp.float32),
        jnp.zeros(query.shape[0], jnp.float32),
    )
    sums, highest, total = jax.lax.fori_loop(0, steps, step, start)
    some = total > 0
    divisor = jnp.where(some, total, 1.0)
    logarithm = (highest + jnp.log2(divisor)) * math.log(2)
    return sums / divisor[:, None], jnp.where(some, logarithm, -jnp.inf)


def tile_rows(ids: Any, row: Any, place: Array, size: int) -> tuple[Array, Array]:
    """The positions in a buffer of tiles of the rows of a list of tiles.

    Args:
        ids: the ids of the listed tiles, [b, k].
        row: the row of the batch.
        place: the rows' indices in the list.
        size: tokens of a tile.

    Returns:
        The positions, and whether the rows exist. Rows beyond the list or of padding do
        not exist, and have position 0.
    """
    inside = place < ids.shape[1] * size
    tile = plgpu.load(ids.at[row, place // size], mask=inside, other=-1)
    there = inside & (tile >= 0)
    return jnp.where(there, tile * size + place % size, 0), there


def read(ref: Any, row: Any, place: Array, head: Any, there: Array) -> Array:
    """Reads rows [r, d] of one head from an array [b, n, a, d].

    Args:
        ref: the array.
        row: the row of the batch.
        place: the indices of the r rows on axis n.
        head: the head.
        there: whether to read a row; zeros are returned for the remaining rows.
    """
    columns = jnp.arange(ref.shape[-1])
    at = ref.at[row, place[:, None], head, columns[None, :]]
    return plgpu.load(at, mask=there[:, None], other=0)


def write(ref: Any, row: Any, place: Array, head: Any, there: Array, x: Array) -> None:
    """Writes rows `x` [r, d] of one head; the other arguments are those of `read`.

    Rows whose `there` is False are not written.
    """
    columns = jnp.arange(ref.shape[-1])
    at = ref.at[row, place[:, None], head, columns[None, :]]
    plgpu.store(at, x.astype(ref.dtype), mask=there[:, None])


def parameters(block: GpuBlock) -> plgpu.CompilerParams:
    """Triton's compiler parameters for a block."""
    return plgpu.CompilerParams(num_warps=block.warps, num_stages=block.stages)


def grid(rows: int, block: GpuBlock, heads: int, batch: int) -> tuple[int, int, int]:
    """The grid: one program per block of queries, head and row of the batch."""
    return pl.cdiv(rows, block.query), heads, batch
