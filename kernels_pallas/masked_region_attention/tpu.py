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

from kernels_pallas import dispatch
from kernels_pallas.masked_region_attention import blocks
from kernels_pallas.masked_region_attention.reference import Attended, Fresh, exact

LANES = 128
# Below any logit: where a block has no keys, exp2(-inf - LOWEST) is 0 and not nan.
LOWEST = -1e30
ABREAST = 8


class Plan(NamedTuple):
    """The sizes of a call. `heads` is those of a block, `rows` a tile's with padding."""

    batch: int
    columns: int
    query_blocks: int
    key_blocks: int
    tiles: blocks.Tiles
    heads: int
    width: int
    size: int
    rows: int
    listed: bool
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
    out: Any
    highest: Any
    total: Any
    sums: Any
    arrived: Any


def refusal(dtype: jnp.dtype, width: int) -> str | None:
    """Why heads of this dtype and width are refused, None if they are not."""
    if dtype not in (jnp.bfloat16, jnp.float32):
        return f"{dtype} is neither bfloat16 nor float32"
    return None


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
    k, t = active.shape[1], key.shape[1]
    sizes = tiles or blocks.fitted(
        dispatch.device()[1], key.shape[2], k, t if listed is None else listed.shape[1]
    )
    plan = planned(query, key, active, bias, listed, sizes)
    flat = [merged(x) for x in (query, key, value, out)]
    if fresh is not None:
        flat[1:3] = written(flat[1:3], fresh, interpret)
    found, total = call(plan, flat, active, bias, listed, logsumexp, interpret)
    if total is not None:
        total = total[:, :k, :, 0].transpose(0, 1, 3, 2)
    shapes = query.shape, key.shape, value.shape
    whole = (x.reshape(y) for x, y in zip((found, *flat[1:3]), shapes))
    return Attended(*whole, total)


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
    rows = s + -s % (32 // query.dtype.itemsize)
    heads = together(a, d)
    ragged = rows != s or count % tiles.key
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
        listed is not None,
        bool(ragged or bias is not None or listed is not None),
    )


def together(heads: int, width: int) -> int:
    """Heads in one block: the fewest that fill whole groups of lanes, else all."""
    for count in range(1, heads):
        if heads % count == 0 and count * width % LANES == 0:
            return count
    return heads


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
    count = key.shape[1] if listed is None else listed.shape[1]
    ids = (padded(active, wanted.query), padded(listed, wanted.key))
    anywhere = pl.BlockSpec(memory_space=pl.ANY)
    tile = (1, 1, plan.rows, plan.lanes)
    tile_specs = [
        pl.BlockSpec(tile, partial(key_tile, plan, count, i)) for i in range(wanted.key)
    ]
    operands = [query, *[key] * wanted.key, *[value] * wanted.key]
    specs = [anywhere, *tile_specs, *tile_specs]
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
        out_specs.append(
            pl.BlockSpec(block, lambda b, a, i, j, *ids: (b, i, a, 0, 0))
        )
    rows = (wanted.query, plan.size, plan.lanes)
    heads = (wanted.query, plan.heads, plan.size)
    scratch = Scratch(
        pltpu.VMEM(rows, query.dtype),
        pltpu.VMEM(rows, query.dtype),
        pltpu.VMEM((*heads, LANES), jnp.float32),
        pltpu.VMEM((*heads, LANES), jnp.float32),
        pltpu.VMEM((*heads, plan.width), jnp.float32),
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
        cost_estimate=cost(plan, active.shape[1], count, query.dtype),
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


def key_tile(
    plan: Plan,
    count: int,
    i: int,
    b: Any,
    a: Any,
    q: Any,
    j: Any,
    active: Any,
    listed: Any,
) -> tuple:
    """Which block of the keys is the i-th tile of the j-th block.

    Behind the last active tile it stays where it is, so that nothing is copied.
    """
    alive = active[(b * plan.query_blocks + q) * plan.tiles.query] >= 0
    j = jnp.where(alive, j, plan.key_blocks - 1)
    place = j * plan.tiles.key + i
    if plan.listed:
        tile = listed[b * plan.key_blocks * plan.tiles.key + place]
        return b, jnp.maximum(tile, 0), 0, a
    return b, jnp.minimum(place, count - 1), 0, a


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


def cost(plan: Plan, active: int, count: int, dtype: jnp.dtype) -> pl.CostEstimate:
    """Operations and bytes when no tile is padding."""
    pairs = plan.batch * plan.columns * plan.heads * active * count * plan.size**2
    size = plan.batch * plan.columns * plan.lanes * plan.size * dtype.itemsize
    return pl.CostEstimate(
        flops=4 * pairs * plan.width,
        transcendentals=pairs,
        bytes_accessed=2 * size * (active + plan.query_blocks * count),
    )


def kernel(plan: Plan, logsumexp: bool, active: Any, listed: Any, *refs: Any) -> None:
    """One block of queries and one of keys."""
    many = plan.tiles.key
    query, tiles, rest = refs[0], refs[1 : 1 + 2 * many], list(refs[1 + 2 * many :])
    keys, values = tiles[:many], tiles[many:]
    offset = rest.pop(0) if plan.masked else None
    out, scratch = rest[1], Scratch(*rest[-len(Scratch._fields) :])
    b, a, i, j = (pl.program_id(axis) for axis in range(4))
    first = (b * plan.query_blocks + i) * plan.tiles.query
    alive = active[first] >= 0
    columns = pl.ds(pl.multiple_of(a * plan.lanes, plan.lanes), plan.lanes)
    if plan.columns == 1:
        columns = slice(None)

    def for_active(act: Any) -> None:
        for r in range(plan.tiles.query):
            pl.when(active[first + r] >= 0)(partial(act, r))

    def copy(r: int, inward: bool) -> Any:
        there = (query if inward else out).at[b, active[first + r], :, columns]
        here = (scratch.query if inward else scratch.out).at[r]
        ends = (there, here) if inward else (here, there)
        return pltpu.make_async_copy(*ends, scratch.arrived.at[r])

    @pl.when(alive & (j == 0))
    def _() -> None:
        for_active(lambda r: copy(r, True).start())
        scratch.highest[...] = jnp.full_like(scratch.highest, LOWEST)
        scratch.total[...] = jnp.zeros_like(scratch.total)
        scratch.sums[...] = jnp.zeros_like(scratch.sums)
        for_active(lambda r: copy(r, True).wait())

    some = alive
    if plan.listed:
        some &= listed[(b * plan.key_blocks + j) * many] >= 0

    @pl.when(some)
    def _() -> None:
        k, v = stacked(plan, keys), stacked(plan, values)
        row = None if offset is None else offset[0, 0]
        for_active(lambda r: accumulate(plan, scratch, r, k, v, row))

    last = j == plan.key_blocks - 1

    @pl.when(alive & last)
    def _() -> None:
        for_active(lambda r: finish(plan, scratch, r))
        for_active(lambda r: copy(r, False).start())
        for_active(lambda r: copy(r, False).wait())

    if logsumexp:
        totals = rest[2]

        @pl.when(last)
        def _() -> None:
            totals[...] = jnp.full_like(totals, -jnp.inf)
            for_active(lambda r: log_total(plan, scratch, totals, r))


def stacked(plan: Plan, refs: Sequence[Any]) -> Array:
    """The tiles of a block one below the other, zeros where their padding is.

    What lies behind a tile's last row may be anything, nan too.
    """
    tiles = [ref[0, 0] for ref in refs]
    if plan.rows != plan.size:
        row = jax.lax.broadcasted_iota(jnp.int32, tiles[0].shape, 0)
        inside = row < plan.size
        tiles = [jnp.where(inside, x, jnp.zeros_like(x)) for x in tiles]
    return jnp.concatenate(tiles, axis=0) if len(tiles) > 1 else tiles[0]


def accumulate(
    plan: Plan, scratch: Scratch, r: int, k: Array, v: Array, offset: Array | None
) -> None:
    """Adds a block of keys to the sums of the r-th tile of queries."""
    scale = plan.width**-0.5 * math.log2(math.e)
    precision = exact(k.dtype)
    for head in range(plan.heads):
        of_head = slice(head * plan.width, (head + 1) * plan.width)
        logits = jax.lax.dot_general(
            scratch.query[r, :, of_head],
            k[:, of_head],
            (((1,), (1,)), ((), ())),
            precision=precision,
            preferred_element_type=jnp.float32,
        )
        logits = logits * scale
        if offset is not None:
            logits = logits + jnp.broadcast_to(offset, logits.shape)
        before = scratch.highest[r, head][:, :1]
        highest = jnp.maximum(before, logits.max(axis=1, keepdims=True))
        weights = jnp.exp2(logits - highest)
        fade = jnp.exp2(before - highest)
        total = scratch.total[r, head][:, :1] * fade
        total = total + weights.sum(axis=1, keepdims=True)
        products = jax.lax.dot_general(
            weights.astype(v.dtype),
            v[:, of_head],
            (((1,), (0,)), ((), ())),
            precision=precision,
            preferred_element_type=jnp.float32,
        )
        lanes = (plan.size, LANES)
        scratch.highest[r, head] = jnp.broadcast_to(highest, lanes)
        scratch.total[r, head] = jnp.broadcast_to(total, lanes)
        scratch.sums[r, head] = scratch.sums[r, head] * fade + products


def finish(plan: Plan, scratch: Scratch, r: int) -> None:
    """The outputs of the r-th tile of queries from its sums."""
    for head in range(plan.heads):
        total = scratch.total[r, head][:, :1]
        out = scratch.sums[r, head] / jnp.where(total > 0, total, 1.0)
        of_head = slice(head * plan.width, (head + 1) * plan.width)
        scratch.out[r, :, of_head] = out.astype(scratch.out.dtype)


def log_total(plan: Plan, scratch: Scratch, totals: Any, r: int) -> None:
    """The natural logarithm of the r-th tile's sums of weights, along the lanes.

    A product with ones in one column turns the column of numbers into a row.
    """
    one = (jax.lax.broadcasted_iota(jnp.int32, (8, LANES), 1) == 0).astype(jnp.float32)
    for head in range(plan.heads):
        total, highest = scratch.total[r, head], scratch.highest[r, head]
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
