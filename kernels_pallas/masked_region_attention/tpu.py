"""Masked region attention in Pallas for TPUs (Mosaic TPU).

Arrays are reshaped to [b, t, s, a * d]: a head is a column of lanes, so neither queries
nor keys are transposed. A block of queries is a few tiles, which stay on the chip while
blocks of keys stream past. If `active` names the tiles, its ids are prefetched as
scalars and used to fetch them. The softmax is online (arXiv 2205.14135), in base 2.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Float32, Int

from kernels_pallas import dispatch, mosaic
from kernels_pallas.dispatch import Query
from kernels_pallas.masked_region_attention import blocks
from kernels_pallas.masked_region_attention.blocks import LANES, together
from kernels_pallas.masked_region_attention.reference import Attended, Fresh
from kernels_pallas.products import LOWEST, exact

# Copies of fresh tiles that run at once.
ABREAST = 8


class CallSizes(NamedTuple):
    """The sizes of a call.

    Attributes:
        batch: rows of the batch.
        columns: blocks of heads.
        query_blocks: blocks of tiles of queries.
        key_blocks: blocks of tiles of keys.
        tiles: tiles of queries and of keys per block.
        heads: heads per block.
        width: the width of a head.
        size: tokens of a tile.
        rows: rows of a tile, rounded up to whole `unit`s.
        unit: rows of a register of this dtype.
        key_tiles: the number of all tiles of keys.
        named: whether `active` names the tiles of queries.
        ragged: whether the last block of keys is not full.
        masked: whether an offset is added to the logits.
    """

    batch: int
    columns: int
    query_blocks: int
    key_blocks: int
    tiles: blocks.Tiles
    heads: int
    width: int
    size: int
    rows: int
    unit: int
    key_tiles: int
    named: bool
    ragged: bool
    masked: bool

    @property
    def lanes(self) -> int:
        """Columns of a block."""
        return self.heads * self.width

    @property
    def grid(self) -> tuple[int, int, int, int]:
        """Rows of the batch, blocks of heads, blocks of queries and blocks of keys."""
        return self.batch, self.columns, self.query_blocks, self.key_blocks


class Scratch(NamedTuple):
    """Scratch memory of a block of queries while keys stream past.

    Attributes:
        query: the queries, scaled.
        highest: the highest logit per row, equal in all lanes.
        total: the sum of weights per row, equal in all lanes.
        sums: the weighted sums of values.
    """

    query: Any
    highest: Any
    total: Any
    sums: Any


def refusal(query: Query, *keys: Query) -> str | None:
    """The reason why queries [..., s, a, d] are refused; None if they are accepted."""
    *_, size, a, d = query.shape
    most = blocks.largest(blocks.weight(a, d, query.dtype.itemsize))
    if size > most:
        return (
            f"tiles of {size} tokens: a block is whole tiles, and of more than {most} "
            f"with {query.dtype} heads of width {d} it does not fit on the chip"
        )
    return mosaic.refusal(query)


def attend(
    query: Float[Array, "b q s a d"],
    key: Float[Array, "b t s a d"],
    value: Float[Array, "b t s a d"],
    active: Int[Array, "b k"] | None,
    fresh: Fresh | None,
    bias: Float32[Array, "b t s"] | None,
    logsumexp: bool,
    interpret: bool = False,
    tiles: blocks.Tiles | None = None,
) -> Attended:
    """The Mosaic kernel, with the reference's signature.

    If `tiles` (per block) is None, `blocks.fitted` gives it for the device.
    """
    b, t, s, a, d = key.shape
    k = query.shape[1] if active is None else active.shape[1]
    if tiles is None:
        weight = blocks.weight(a, d, query.dtype.itemsize)
        tiles = blocks.fitted(dispatch.device()[1], weight, s, k, t)
    plan = planned(query, key, k, active is not None, bias is not None, tiles)
    flat = [merged(x) for x in (query, key, value)]
    if fresh is not None:
        flat[1:] = written(flat[1:], fresh, interpret)
    out, total = call(plan, flat, k, active, bias, logsumexp, interpret)
    if total is not None:
        total = total[:, :k, :, 0].transpose(0, 1, 3, 2)
    new_key, new_value = (x.reshape(key.shape) for x in flat[1:])
    return Attended(out.reshape(b, k, s, a, d), new_key, new_value, total)


def planned(
    query: Array, key: Array, k: int, named: bool, biased: bool, tiles: blocks.Tiles
) -> CallSizes:
    """The sizes of a call with k active tiles of queries and these tiles per block."""
    b, count, s, a, d = key.shape
    unit = 32 // query.dtype.itemsize
    rows, heads = s + -s % unit, together(a, d)
    ragged = count % tiles.key > 0
    return CallSizes(
        b,
        a // heads,
        pl.cdiv(k, tiles.query),
        pl.cdiv(count, tiles.key),
        tiles,
        heads,
        d,
        s,
        rows,
        unit,
        count,
        named,
        ragged,
        masked=rows != s or ragged or biased,
    )


def merged(x: Float[Array, "b t s a d"]) -> Float[Array, "b t s c"]:
    """The array with its heads side by side in one axis."""
    return x.reshape(*x.shape[:3], -1)


def written(
    buffers: Sequence[Float[Array, "b t s c"]], fresh: Fresh, interpret: bool
) -> list[Array]:
    """Keys and values with the fresh tiles copied into them, in place."""
    new = [merged(fresh.key), merged(fresh.value)]
    b, j = fresh.tiles.shape
    ids = filled(fresh.tiles, ABREAST)
    anywhere = pl.BlockSpec(memory_space=pl.ANY)
    attended = pl.pallas_call(
        write,
        out_shape=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in buffers],
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(b, pl.cdiv(j, ABREAST)),
            in_specs=[anywhere] * 4,
            out_specs=[anywhere] * 2,
            scratch_shapes=[pltpu.SemaphoreType.DMA((2, ABREAST))],
        ),
        input_output_aliases={3: 0, 4: 1},
        interpret=pltpu.InterpretParams() if interpret else False,
        name="write_tiles",
    )(ids, *new, *buffers)
    return list(attended)


def write(
    tiles: Any,
    key: Any,
    value: Any,
    key_before: Any,
    value_before: Any,
    key_after: Any,
    value_after: Any,
    done: Any,
) -> None:
    """Copies `ABREAST` tiles of keys and values, all at once."""
    row, block = pl.program_id(0), pl.program_id(1)

    def copies(i: int) -> list:
        source = block * ABREAST + i
        tile = tiles[row, source]
        return [
            pltpu.make_async_copy(
                new.at[row, source], after.at[row, tile], done.at[which, i]
            )
            for which, (new, after) in enumerate(
                [(key, key_after), (value, value_after)]
            )
        ]

    for act in ("start", "wait"):
        for i in range(ABREAST):

            @pl.when(tiles[row, block * ABREAST + i] >= 0)
            def _() -> None:
                for copy in copies(i):
                    getattr(copy, act)()


def filled(ids: Int[Array, "b k"], block: int) -> Int[Array, "b i"]:
    """The ids of each row, padded to whole blocks."""
    fill = ((0, 0), (0, -ids.shape[1] % block))
    return jnp.pad(ids.astype(jnp.int32), fill, constant_values=-1)


def call(
    plan: CallSizes,
    arrays: Sequence[Array],
    k: int,
    active: Int[Array, "b k"] | None,
    bias: Array | None,
    logsumexp: bool,
    interpret: bool,
) -> tuple[Array, Array | None]:
    """Calls the kernel for k tiles of queries.

    Returns:
        The outputs, and the logarithms of the sums of weights per tile and head; None
        without `logsumexp`.
    """
    query, key, value = arrays
    few, many = plan.tiles
    key_spec = pl.BlockSpec((1, many, plan.rows, plan.lanes), partial(key_block, plan))
    specs = [*specs_of_queries(plan), key_spec, key_spec]
    operands = [query] * (few if plan.named else 1) + [key, value]
    if plan.masked:
        operands.append(offsets(plan, key, bias))
        row = (1, 1, 1, many * plan.rows)
        specs.append(pl.BlockSpec(row, lambda b, a, i, j, *ids: (b, j, 0, 0)))
    at = lambda b, a, i, j, *ids: (b, i, 0, a)
    out_specs = [pl.BlockSpec((1, few, plan.rows, plan.lanes), at)]
    packed = (plan.batch, k, plan.size, query.shape[-1])
    shapes = [jax.ShapeDtypeStruct(packed, query.dtype)]
    if logsumexp:
        sums = (plan.batch, k, plan.columns * plan.heads, 1, plan.size)
        shapes.append(jax.ShapeDtypeStruct(sums, jnp.float32))
        block = (1, few, plan.heads, 1, plan.size)
        out_specs.append(pl.BlockSpec(block, lambda b, a, i, j, *ids: (b, i, a, 0, 0)))
    rows = few * plan.rows
    scratch = Scratch(
        pltpu.VMEM((rows, plan.lanes), query.dtype),
        pltpu.VMEM((plan.heads, rows, LANES), jnp.float32),
        pltpu.VMEM((plan.heads, rows, LANES), jnp.float32),
        pltpu.VMEM((plan.heads, rows, plan.width), jnp.float32),
    )
    attended = pl.pallas_call(
        partial(kernel, plan, logsumexp),
        out_shape=shapes,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=2,
            grid=plan.grid,
            in_specs=specs,
            out_specs=out_specs,
            scratch_shapes=scratch,
        ),
        # Blocks of queries are independent, so two cores of a chip can share them.
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "parallel", "arbitrary")
        ),
        cost_estimate=cost(plan, k, query.dtype),
        interpret=pltpu.InterpretParams() if interpret else False,
        name="masked_region_attention",
    )(*scalars(plan, active), *operands)
    return attended[0], attended[1] if logsumexp else None


def scalars(
    plan: CallSizes, active: Int[Array, "b k"] | None
) -> tuple[Int[Array, " i"], Int[Array, " j"]]:
    """The ids of the active tiles, and per block whether any id is not padding."""
    if active is None:
        blocks_of_all = plan.batch * plan.query_blocks
        return jnp.zeros(1, jnp.int32), jnp.ones(blocks_of_all, jnp.int32)
    ids = filled(active, plan.tiles.query).reshape(-1)
    alive = (ids.reshape(-1, plan.tiles.query) >= 0).any(axis=1)
    return ids, alive.astype(jnp.int32)


def specs_of_queries(plan: CallSizes) -> list[pl.BlockSpec]:
    """The block specs of the queries.

    There is one for a block of consecutive tiles; if `active` names the tiles, there is
    one per tile of a block.
    """
    few = plan.tiles.query
    if plan.named:
        tile = (1, 1, plan.rows, plan.lanes)
        return [pl.BlockSpec(tile, partial(named_tile, plan, r)) for r in range(few)]
    at = lambda b, a, i, j, *ids: (b, i, 0, a)
    return [pl.BlockSpec((1, few, plan.rows, plan.lanes), at)]


def named_tile(
    plan: CallSizes, r: int, b: Any, a: Any, i: Any, j: Any, active: Any, alive: Any
) -> tuple:
    """The index of the r-th query tile of the i-th block; 0 at padding."""
    tile = active[(b * plan.query_blocks + i) * plan.tiles.query + r]
    return b, jnp.maximum(tile, 0), 0, a


def key_block(
    plan: CallSizes, b: Any, a: Any, i: Any, j: Any, active: Any, alive: Any
) -> tuple:
    """The index of the j-th block of keys.

    For a block of queries that is all padding, the index is constant, so that nothing
    is copied.
    """
    some = alive[b * plan.query_blocks + i] > 0
    return b, jnp.where(some, j, plan.key_blocks - 1), 0, a


def offsets(
    plan: CallSizes, key: Array, bias: Array | None
) -> Float32[Array, "b j 1 r"]:
    """The addend to the logits of each key of each block, in base 2."""
    b, t, s = key.shape[:3]
    row = jnp.zeros((b, t, s), jnp.float32) if bias is None else bias
    more = plan.key_blocks * plan.tiles.key - t
    fill = ((0, 0), (0, more), (0, plan.rows - s))
    row = jnp.pad(row * math.log2(math.e), fill, constant_values=-jnp.inf)
    return row.reshape(b, plan.key_blocks, 1, -1)


def cost(plan: CallSizes, active: int, dtype: jnp.dtype) -> pl.CostEstimate:
    """The cost estimate, in operations and bytes, if no tile is padding."""
    pairs = plan.batch * plan.columns * plan.heads
    pairs *= active * plan.key_tiles * plan.size**2
    size = plan.batch * plan.columns * plan.lanes * plan.size * dtype.itemsize
    return pl.CostEstimate(
        flops=4 * pairs * plan.width,
        transcendentals=pairs,
        bytes_accessed=2 * size * (active + plan.query_blocks * plan.key_tiles),
    )


def kernel(
    plan: CallSizes, logsumexp: bool, active: Any, alive: Any, *refs: Any
) -> None:
    """Computes one block of queries over one block of keys."""
    copies = plan.tiles.query if plan.named else 1
    queries, (key, value, *others) = refs[:copies], refs[copies:]
    offset = others.pop(0) if plan.masked else None
    out, totals = others.pop(0), others.pop(0) if logsumexp else None
    scratch = Scratch(*others)
    b, i, j = (pl.program_id(axis) for axis in (0, 2, 3))
    block = b * plan.query_blocks + i
    some = alive[block] > 0

    def there(r: int) -> Any:
        return active[block * plan.tiles.query + r] >= 0 if plan.named else None

    @pl.when(some & (j == 0))
    def _() -> None:
        begin(plan, scratch, queries)

    @pl.when(some)
    def _() -> None:
        k, v = stacked(plan, key, j), stacked(plan, value, j)
        accumulate(plan, scratch, k, v, None if offset is None else offset[0, 0])

    @pl.when(j == plan.key_blocks - 1)
    def _() -> None:
        for r in range(plan.tiles.query):
            finish(plan, scratch, out, r, there(r))
            if totals is not None:
                log_total(plan, scratch, totals, r, there(r))


def rows_of(plan: CallSizes, r: int) -> slice:
    """The rows of the r-th tile of a block."""
    return slice(r * plan.rows, (r + 1) * plan.rows)


def begin(plan: CallSizes, scratch: Scratch, queries: Sequence[Any]) -> None:
    """Stores the queries, scaled for a softmax in base 2, and clears the sums.

    Scaling queries saves a product per logit. Rows after a tile's last may hold any
    values, since no other row's output depends on them.
    """
    factor = plan.width**-0.5 * math.log2(math.e)
    for r in range(plan.tiles.query):
        tile = queries[r][0, 0] if plan.named else queries[0][0, r]
        scaled = tile.astype(jnp.float32) * factor
        scratch.query[rows_of(plan, r)] = scaled.astype(scratch.query.dtype)
    scratch.highest[...] = jnp.full_like(scratch.highest, LOWEST)
    scratch.total[...] = jnp.zeros_like(scratch.total)
    scratch.sums[...] = jnp.zeros_like(scratch.sums)


def stacked(plan: CallSizes, block: Any, j: Any) -> Array:
    """The tiles of the j-th block, concatenated, with zeros for padding.

    In the block, the padding after a tile's last row and after the last tile may have
    arbitrary values, even NaN.
    """
    aligned, parts = plan.size - plan.size % plan.unit, []
    for i in range(plan.tiles.key):
        tile = block[0, i]
        if plan.ragged:
            inside = j * plan.tiles.key + i < plan.key_tiles
            tile = jnp.where(inside, tile, jnp.zeros_like(tile))
        parts.append(tile[:aligned])
        if plan.rows != plan.size:
            end = tile[aligned:]
            row = jax.lax.broadcasted_iota(jnp.int32, end.shape, 0)
            parts.append(jnp.where(row < plan.size - aligned, end, jnp.zeros_like(end)))
    parts = [part for part in parts if part.shape[0]]
    return jnp.concatenate(parts, axis=0) if len(parts) > 1 else parts[0]


def accumulate(
    plan: CallSizes, scratch: Scratch, k: Array, v: Array, offset: Array | None
) -> None:
    """Adds a block of keys to the sums of a block of queries."""
    product = partial(
        jax.lax.dot_general,
        precision=exact(k.dtype),
        preferred_element_type=jnp.float32,
    )
    for head in range(plan.heads):
        of_head = slice(head * plan.width, (head + 1) * plan.width)
        query = scratch.query[:, of_head]
        logits = product(query, k[:, of_head], (((1,), (1,)), ((), ())))
        if offset is not None:
            logits = logits + jnp.broadcast_to(offset, logits.shape)
        before = scratch.highest[head]
        highest = jnp.maximum(before, logits.max(axis=1, keepdims=True))
        weights = jnp.exp2(logits - highest[:, :1])
        fade = jnp.exp2(before - highest)
        total = scratch.total[head] * fade
        scratch.total[head] = total + weights.sum(axis=1, keepdims=True)
        scratch.highest[head] = highest
        products = product(
            weights.astype(v.dtype), v[:, of_head], (((1,), (0,)), ((), ()))
        )
        scratch.sums[head] = scratch.sums[head] * fade[:, :1] + products


def finish(plan: CallSizes, scratch: Scratch, out: Any, r: int, there: Any) -> None:
    """Writes the outputs of the r-th tile of queries.

    They are zeros if `there` is false; None stands for true.
    """
    rows = rows_of(plan, r)
    for head in range(plan.heads):
        total = scratch.total[head, rows][:, :1]
        attended = scratch.sums[head, rows] / jnp.where(total > 0, total, 1.0)
        of_head = slice(head * plan.width, (head + 1) * plan.width)
        if there is not None:
            attended = jnp.where(there, attended, jnp.zeros_like(attended))
        out[0, r, :, of_head] = attended.astype(out.dtype)


def log_total(
    plan: CallSizes, scratch: Scratch, totals: Any, r: int, there: Any
) -> None:
    """Writes the natural logarithm of the r-th tile's sums of weights, along the lanes.

    A matrix product with ones in one column turns the column of numbers into a row.
    """
    one = (jax.lax.broadcasted_iota(jnp.int32, (8, LANES), 1) == 0).astype(jnp.float32)
    rows = slice(r * plan.rows, r * plan.rows + plan.size)
    for head in range(plan.heads):
        total, highest = scratch.total[head, rows], scratch.highest[head, rows]
        some = total > 0 if there is None else (total > 0) & there
        value = (highest + jnp.log2(jnp.where(some, total, 1.0))) * math.log(2)
        value = jnp.where(some, value, LOWEST)
        row = jax.lax.dot_general(
            one,
            value,
            (((1,), (1,)), ((), ())),
            precision=jax.lax.Precision.HIGHEST,
            preferred_element_type=jnp.float32,
        )[:1]
        totals[0, r, head] = jnp.where(row <= LOWEST / 2, -jnp.inf, row)
