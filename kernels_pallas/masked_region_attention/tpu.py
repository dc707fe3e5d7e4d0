"""Masked region attention in Pallas for TPUs (Mosaic TPU).

Arrays are seen as [b, t, s, a * d]: a head is a column of lanes, so neither queries nor
keys are transposed to bring heads forward. The ids of tiles are prefetched scalars. A
block of queries is some active tiles, copied from the whole buffer once and held while
blocks of keys stream past; its outputs are copied to their tiles of the aliased buffer.
The softmax is online (arXiv 2205.14135), in base 2.
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

ABREAST = 8


class Plan(NamedTuple):
    """The sizes of a call. `heads` are those of a block, `rows` a tile's filled up to
    whole `unit`s of rows, `seen` the tiles of keys that are attended to."""

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
    seen: int
    listed: bool
    ragged: bool
    masked: bool

    @property
    def lanes(self) -> int:
        """Columns of a block."""
        return self.heads * self.width

    @property
    def grid(self) -> tuple[int, int, int, int]:
        """Rows of the batch, blocks of heads, of queries, of keys."""
        return self.batch, self.columns, self.query_blocks, self.key_blocks


class Scratch(NamedTuple):
    """What a block of queries keeps while keys stream past."""

    query: Any
    tiles: Any
    highest: Any
    total: Any
    sums: Any
    done: Any


def refusal(query: Query) -> str | None:
    """Why these queries [..., s, a, d] are refused, None if they are not."""
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
    active: Int[Array, "b k"],
    fresh: Fresh | None,
    out: Float[Array, "b q s a d"],
    bias: Float32[Array, "b t s"] | None,
    listed: Int[Array, "b u"] | None,
    logsumexp: bool,
    interpret: bool = False,
    tiles: blocks.Tiles | None = None,
) -> Attended:
    """As the reference; `tiles` a block from the table unless given."""
    (k, t, s), (a, d) = (active.shape[1], *key.shape[1:3]), query.shape[3:]
    if tiles is None:
        kind, seen = dispatch.device()[1], t if listed is None else listed.shape[1]
        weight = blocks.weight(a, d, query.dtype.itemsize)
        tiles = blocks.fitted(kind, weight, s, k, seen)
    plan = planned(query, key, active, bias, listed, tiles)
    flat = [merged(x) for x in (query, key, value, out)]
    if fresh is not None:
        flat[1:3] = written(flat[1:3], fresh, interpret)
    found, total = call(plan, flat, active, bias, listed, logsumexp, interpret)
    if total is not None:
        total = total[:, :k, :, 0].transpose(0, 1, 3, 2)
    shapes = query.shape, key.shape, value.shape
    whole = [x.reshape(y) for x, y in zip((found, *flat[1:3]), shapes)]
    return Attended(whole[0], whole[1], whole[2], total)


def planned(
    query: Array,
    key: Array,
    active: Array,
    bias: Array | None,
    listed: Array | None,
    tiles: blocks.Tiles,
) -> Plan:
    """The sizes of a call with so many tiles a block."""
    b, _, s, a, d = query.shape
    count = key.shape[1] if listed is None else listed.shape[1]
    unit = 32 // query.dtype.itemsize
    rows = s + -s % unit
    heads = together(a, d)
    ragged = listed is None and count % tiles.key > 0
    return Plan(
        b,
        a // heads,
        pl.cdiv(active.shape[1], tiles.query),
        pl.cdiv(count, tiles.key),
        tiles,
        heads,
        d,
        s,
        rows,
        unit,
        count,
        listed is not None,
        ragged,
        bool(rows != s or ragged or bias is not None or listed is not None),
    )


def merged(x: Float[Array, "b t s a d"]) -> Float[Array, "b t s c"]:
    """Heads side by side."""
    return x.reshape(*x.shape[:3], -1)


def written(
    buffers: Sequence[Float[Array, "b t s c"]], fresh: Fresh, interpret: bool
) -> list[Array]:
    """Keys and values with the fresh tiles copied into them, in place."""
    new = [merged(fresh.key), merged(fresh.value)]
    b, j = fresh.tiles.shape
    abreast = math.gcd(j, ABREAST)
    anywhere = pl.BlockSpec(memory_space=pl.ANY)
    found = pl.pallas_call(
        partial(write, abreast=abreast),
        out_shape=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in buffers],
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=(b, j // abreast),
            in_specs=[anywhere] * 4,
            out_specs=[anywhere] * 2,
            scratch_shapes=[pltpu.SemaphoreType.DMA((2, abreast))],
        ),
        input_output_aliases={3: 0, 4: 1},
        interpret=pltpu.InterpretParams() if interpret else False,
        name="write_tiles",
    )(fresh.tiles.astype(jnp.int32), *new, *buffers)
    return list(found)


def write(
    tiles: Any,
    key: Any,
    value: Any,
    key_before: Any,
    value_before: Any,
    key_after: Any,
    value_after: Any,
    done: Any,
    *,
    abreast: int,
) -> None:
    """Copies some tiles of keys and values, all under way at once."""
    row, block = pl.program_id(0), pl.program_id(1)

    def copies(i: int) -> list:
        source = block * abreast + i
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
        for i in range(abreast):

            @pl.when(tiles[row, block * abreast + i] >= 0)
            def _() -> None:
                for copy in copies(i):
                    getattr(copy, act)()


def call(
    plan: Plan,
    arrays: Sequence[Array],
    active: Array,
    bias: Array | None,
    listed: Array | None,
    logsumexp: bool,
    interpret: bool,
) -> tuple[Array, Array | None]:
    """The outputs, in place, and the logarithms of the sums a tile and head."""
    query, key, value, out = arrays
    wanted = plan.tiles
    ids = (padded(active, wanted.query), padded(listed, wanted.key))
    anywhere = pl.BlockSpec(memory_space=pl.ANY)
    key_specs = specs_of_keys(plan)
    copies = [key] * len(key_specs), [value] * len(key_specs)
    operands = [query, *copies[0], *copies[1]]
    specs = [anywhere, *key_specs, *key_specs]
    if plan.masked:
        operands.append(offsets(plan, key, bias, listed))
        row = (1, 1, 1, wanted.key * plan.rows)
        specs.append(pl.BlockSpec(row, lambda b, a, i, j, *ids: (b, j, 0, 0)))
    operands.append(out)
    specs.append(anywhere)
    shapes = [jax.ShapeDtypeStruct(out.shape, out.dtype)]
    out_specs = [anywhere]
    if logsumexp:
        tiles, a = plan.query_blocks * wanted.query, plan.columns * plan.heads
        shape = (plan.batch, tiles, a, 1, plan.size)
        shapes.append(jax.ShapeDtypeStruct(shape, jnp.float32))
        block = (1, wanted.query, plan.heads, 1, plan.size)
        out_specs.append(pl.BlockSpec(block, lambda b, a, i, j, *ids: (b, i, a, 0, 0)))
    rows = wanted.query * plan.rows
    scratch = Scratch(
        pltpu.VMEM((rows, plan.lanes), query.dtype),
        pltpu.VMEM((wanted.query, plan.size, plan.lanes), query.dtype),
        pltpu.VMEM((plan.heads, rows, LANES), jnp.float32),
        pltpu.VMEM((plan.heads, rows, LANES), jnp.float32),
        pltpu.VMEM((plan.heads, rows, plan.width), jnp.float32),
        pltpu.SemaphoreType.DMA((wanted.query,)),
    )
    found = pl.pallas_call(
        partial(kernel, plan, logsumexp),
        out_shape=shapes,
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=2,
            grid=plan.grid,
            in_specs=specs,
            out_specs=out_specs,
            scratch_shapes=scratch,
        ),
        input_output_aliases={2 + len(operands) - 1: 0},
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel", "parallel", "arbitrary", "arbitrary")
        ),
        cost_estimate=cost(plan, active.shape[1], query.dtype),
        interpret=pltpu.InterpretParams() if interpret else False,
        name="masked_region_attention",
    )(*ids, *operands)
    return (found[0], found[1] if logsumexp else None)


def padded(ids: Int[Array, "b k"] | None, block: int) -> Int[Array, " i"]:
    """Ids in one row, those of each row of the batch filled up with padding."""
    if ids is None:
        return jnp.zeros(1, jnp.int32)
    fill = ((0, 0), (0, -ids.shape[1] % block))
    return jnp.pad(ids.astype(jnp.int32), fill, constant_values=-1).reshape(-1)


def specs_of_keys(plan: Plan) -> list[pl.BlockSpec]:
    """One block of neighbouring tiles, or as many blocks as there are listed tiles."""
    if plan.listed:
        tile, many = (1, 1, plan.rows, plan.lanes), plan.tiles.key
        return [pl.BlockSpec(tile, partial(listed_tile, plan, i)) for i in range(many)]
    block = (1, plan.tiles.key, plan.rows, plan.lanes)
    return [pl.BlockSpec(block, partial(key_block, plan))]


def key_block(
    plan: Plan, b: Any, a: Any, q: Any, j: Any, active: Any, *_: Any
) -> tuple:
    """Which block of the keys is the j-th, of neighbouring tiles.

    Behind the last active tile it stays where it is, so that nothing is copied.
    """
    alive = active[(b * plan.query_blocks + q) * plan.tiles.query] >= 0
    return b, jnp.where(alive, j, plan.key_blocks - 1), 0, a


def listed_tile(
    plan: Plan, i: int, b: Any, a: Any, q: Any, j: Any, active: Any, listed: Any
) -> tuple:
    """Which tile of the keys is the i-th of the j-th block of listed ones.

    At padding the row's first again: one that is not listed may hold anything, and a
    weight of 0 does not undo nan.
    """
    _, j, _, _ = key_block(plan, b, a, q, j, active)
    begin = b * plan.key_blocks * plan.tiles.key
    tile, first = listed[begin + j * plan.tiles.key + i], listed[begin]
    return b, jnp.where(tile < 0, jnp.maximum(first, 0), tile), 0, a


def offsets(
    plan: Plan, key: Array, bias: Array | None, listed: Array | None
) -> Float32[Array, "b j 1 r"]:
    """What is added to the logits of each key of each block, in base 2."""
    b, t, s = key.shape[:3]
    row = jnp.zeros((b, t, s), jnp.float32) if bias is None else bias
    if listed is not None:
        row = row[jnp.arange(b)[:, None], jnp.maximum(listed, 0)]
        row = jnp.where((listed >= 0)[..., None], row, -jnp.inf)
    more = plan.key_blocks * plan.tiles.key - row.shape[1]
    fill = ((0, 0), (0, more), (0, plan.rows - s))
    row = jnp.pad(row * math.log2(math.e), fill, constant_values=-jnp.inf)
    return row.reshape(b, plan.key_blocks, 1, -1)


def cost(plan: Plan, active: int, dtype: jnp.dtype) -> pl.CostEstimate:
    """Operations and bytes when no tile is padding."""
    pairs = plan.batch * plan.columns * plan.heads
    pairs *= active * plan.seen * plan.size**2
    size = plan.batch * plan.columns * plan.lanes * plan.size * dtype.itemsize
    return pl.CostEstimate(
        flops=4 * pairs * plan.width,
        transcendentals=pairs,
        bytes_accessed=2 * size * (active + plan.query_blocks * plan.seen),
    )


def kernel(plan: Plan, logsumexp: bool, active: Any, listed: Any, *refs: Any) -> None:
    """One block of queries and one of keys."""
    few, many = plan.tiles
    copies = many if plan.listed else 1
    query, tiles, rest = refs[0], refs[1 : 1 + 2 * copies], list(refs[1 + 2 * copies :])
    keys, values = tiles[:copies], tiles[copies:]
    offset = rest.pop(0) if plan.masked else None
    out, scratch = rest[1], Scratch(*rest[-len(Scratch._fields) :])
    b, a, i, j = (pl.program_id(axis) for axis in range(4))
    first = (b * plan.query_blocks + i) * few
    alive, full = active[first] >= 0, active[first + few - 1] >= 0
    last = j == plan.key_blocks - 1

    def for_active(act: Any) -> None:
        for r in range(few):
            pl.when(active[first + r] >= 0)(partial(act, r))

    columns = pl.ds(pl.multiple_of(a * plan.lanes, plan.lanes), plan.lanes)
    if plan.columns == 1:
        columns = slice(None)

    def copy(r: int, inward: bool) -> Any:
        there = (query if inward else out).at[b, active[first + r], :, columns]
        here, done = scratch.tiles.at[r], scratch.done.at[r]
        source, target = (there, here) if inward else (here, there)
        return pltpu.make_async_copy(source, target, done)

    @pl.when(alive & (j == 0))
    def _() -> None:
        for_active(lambda r: copy(r, inward=True).start())
        scratch.highest[...] = jnp.full_like(scratch.highest, LOWEST)
        scratch.total[...] = jnp.zeros_like(scratch.total)
        scratch.sums[...] = jnp.zeros_like(scratch.sums)
        if plan.rows != plan.size:
            scratch.query[...] = jnp.zeros_like(scratch.query)
        for_active(lambda r: copy(r, inward=True).wait())
        for_active(lambda r: scale(plan, scratch, r))

    some = alive
    if plan.listed:
        some &= listed[(b * plan.key_blocks + j) * many] >= 0

    @pl.when(some)
    def _() -> None:
        k, v = stacked(plan, keys, j), stacked(plan, values, j)
        row = None if offset is None else offset[0, 0]

        @pl.when(full)
        def _() -> None:
            accumulate(plan, scratch, slice(None), k, v, row)

        @pl.when(jnp.logical_not(full))
        def _() -> None:
            @pl.loop(0, few)
            def _(r: Any) -> None:
                start = pl.multiple_of(r * plan.rows, plan.rows)

                @pl.when(active[first + r] >= 0)
                def _() -> None:
                    rows = pl.ds(start, plan.rows)
                    accumulate(plan, scratch, rows, k, v, row)

    @pl.when(alive & last)
    def _() -> None:
        for_active(lambda r: finish(plan, scratch, r))
        for_active(lambda r: copy(r, inward=False).start())
        for_active(lambda r: copy(r, inward=False).wait())

    if logsumexp:
        totals = rest[2]

        @pl.when(last)
        def _() -> None:
            totals[...] = jnp.full_like(totals, -jnp.inf)
            for_active(lambda r: log_total(plan, scratch, totals, r))


def of_tile(plan: Plan, r: int) -> slice:
    """The rows of the r-th tile of a block, without its padding."""
    return slice(r * plan.rows, r * plan.rows + plan.size)


def scale(plan: Plan, scratch: Scratch, r: int) -> None:
    """The r-th tile of queries, scaled and for base 2: a product fewer a logit."""
    factor = plan.width**-0.5 * math.log2(math.e)
    scaled = scratch.tiles[r].astype(jnp.float32) * factor
    scratch.query[of_tile(plan, r)] = scaled.astype(scratch.query.dtype)


def stacked(plan: Plan, refs: Sequence[Any], j: Any) -> Array:
    """The tiles of the j-th block one below the other, zeros where padding is.

    What lies behind a tile's last row or behind the last tile may be anything, nan too.
    """
    whole, parts = plan.size - plan.size % plan.unit, []
    for i in range(plan.tiles.key):
        tile = refs[i][0, 0] if plan.listed else refs[0][0, i]
        if plan.ragged:
            inside = j * plan.tiles.key + i < plan.seen
            tile = jnp.where(inside, tile, jnp.zeros_like(tile))
        parts.append(tile[:whole])
        if plan.rows != plan.size:
            end = tile[whole:]
            row = jax.lax.broadcasted_iota(jnp.int32, end.shape, 0)
            parts.append(jnp.where(row < plan.size - whole, end, jnp.zeros_like(end)))
    parts = [part for part in parts if part.shape[0]]
    return jnp.concatenate(parts, axis=0) if len(parts) > 1 else parts[0]


def accumulate(
    plan: Plan, scratch: Scratch, rows: Any, k: Array, v: Array, offset: Array | None
) -> None:
    """Adds a block of keys to the sums of some rows of queries."""
    product = partial(
        jax.lax.dot_general,
        precision=exact(k.dtype),
        preferred_element_type=jnp.float32,
    )
    for head in range(plan.heads):
        of_head = slice(head * plan.width, (head + 1) * plan.width)
        query = scratch.query[rows, of_head]
        logits = product(query, k[:, of_head], (((1,), (1,)), ((), ())))
        if offset is not None:
            logits = logits + jnp.broadcast_to(offset, logits.shape)
        before = scratch.highest[head, rows]
        highest = jnp.maximum(before, logits.max(axis=1, keepdims=True))
        weights = jnp.exp2(logits - highest[:, :1])
        fade = jnp.exp2(before - highest)
        total = scratch.total[head, rows] * fade
        scratch.total[head, rows] = total + weights.sum(axis=1, keepdims=True)
        scratch.highest[head, rows] = highest
        products = product(
            weights.astype(v.dtype), v[:, of_head], (((1,), (0,)), ((), ()))
        )
        scratch.sums[head, rows] = scratch.sums[head, rows] * fade[:, :1] + products


def finish(plan: Plan, scratch: Scratch, r: int) -> None:
    """The outputs of the r-th tile of queries from its sums."""
    rows = of_tile(plan, r)
    for head in range(plan.heads):
        total = scratch.total[head, rows][:, :1]
        out = scratch.sums[head, rows] / jnp.where(total > 0, total, 1.0)
        of_head = slice(head * plan.width, (head + 1) * plan.width)
        scratch.tiles[r, :, of_head] = out.astype(scratch.tiles.dtype)


def log_total(plan: Plan, scratch: Scratch, totals: Any, r: int) -> None:
    """The natural logarithm of the r-th tile's sums of weights, along the lanes.

    A product with ones in one column turns the column of numbers into a row.
    """
    one = (jax.lax.broadcasted_iota(jnp.int32, (8, LANES), 1) == 0).astype(jnp.float32)
    rows = of_tile(plan, r)
    for head in range(plan.heads):
        total, highest = scratch.total[head, rows], scratch.highest[head, rows]
        some = total > 0
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
