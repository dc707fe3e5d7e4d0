"""Masked region attention, each implementation, against a float64 loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels_pallas import dispatch, gpu_block
from kernels_pallas.gpu_block import GpuBlock
from kernels_pallas.masked_region_attention import blocks, gpu
from kernels_pallas.masked_region_attention.api import masked_region_attention
from kernels_pallas.masked_region_attention.reference import Fresh
from tests.kernels_pallas import naive

NAME = "masked_region_attention"


def arrays(b, t, s, a, d, dtype=jnp.float32, scale=1.0, seed=0):
    """Queries, keys and values."""
    rng = np.random.default_rng(seed)
    shape = (b, t, s, a, d)
    return [jnp.asarray(scale * rng.standard_normal(shape), dtype) for _ in range(3)]


def lists(b, tiles, counts, k, seed=0):
    """Lists of k tiles, so many of them no padding."""
    rng = np.random.default_rng(seed)
    rows = np.full((b, k), -1)
    for row, count in zip(rows, counts):
        row[:count] = rng.permutation(tiles)[:count]
    return jnp.asarray(rows, jnp.int32)


def wanted(query, key, value, active, fresh, bias):
    """Outputs, keys, values and sums of weights, a head of a tile at a time."""
    query, key, value = (np.array(x, np.float64) for x in (query, key, value))
    b, t, s, a, d = key.shape
    if active is None:
        active = np.broadcast_to(np.arange(query.shape[1]), query.shape[:2])
    k = active.shape[1]
    out, sums = np.zeros((b, k, s, a, d)), np.full((b, k, s, a), -np.inf)
    bias = np.zeros((b, t, s)) if bias is None else np.asarray(bias)
    for row in range(b):
        for j, tile in enumerate([] if fresh is None else fresh.tiles[row]):
            if tile >= 0:
                key[row, tile] = np.asarray(fresh.key[row, j], np.float64)
                value[row, tile] = np.asarray(fresh.value[row, j], np.float64)
        for i, tile in enumerate(active[row]):
            for head in range(a if tile >= 0 else 0):
                out[row, i, :, head], sums[row, i, :, head] = naive.softmax(
                    query[row, tile, :, head],
                    key[row, :, :, head].reshape(-1, d),
                    value[row, :, :, head].reshape(-1, d),
                    bias[row].reshape(-1),
                )
    return out, key, value, sums


def many_blocks(dtype):
    """Operands and options of seven tiles of nine tokens."""
    operands = arrays(2, 7, 9, 2, 16, dtype)
    active = jnp.array([[6, 2, 0, -1, -1, -1, -1], [5, 4, -1, 2, 1, 0, 6]])
    fresh = Fresh(operands[1] + 1, operands[2] - 1, active)
    rng = np.random.default_rng(1)
    bias = jnp.asarray(rng.standard_normal((2, 7, 9)), jnp.float32)
    return (*operands, active), {"fresh": fresh, "bias": bias}


class Checks:
    """What holds of every implementation."""

    implementation: str

    def check(self, query, key, value, active=None, scale=1.0, **options):
        found = masked_region_attention(
            query,
            key,
            value,
            active,
            logsumexp=True,
            implementation=self.implementation,
            **options,
        )
        fresh = options.get("fresh")
        want = wanted(query, key, value, active, fresh, options.get("bias"))
        naive.close(found.out, want[0], query.dtype, scale)
        np.testing.assert_array_equal(np.asarray(found.key, np.float64), want[1])
        np.testing.assert_array_equal(np.asarray(found.value, np.float64), want[2])
        naive.close(found.logsumexp, want[3], query.dtype, scale)
        written = np.full((len(query), 1), -1) if fresh is None else fresh.tiles
        naive.untouched(found.key, key, written)
        naive.untouched(found.value, value, written)
        return found

    @naive.FEW
    @given(
        t=st.integers(1, 5),
        s=st.integers(1, 9),
        a=st.integers(1, 3),
        d=st.sampled_from([16, 64]),
        dtype=st.sampled_from([jnp.float32, jnp.bfloat16]),
        share=st.floats(0, 1),
        seed=st.integers(0, 99),
    )
    def test_any_shape_equals_the_loop(self, t, s, a, d, dtype, share, seed):
        query, key, value = arrays(2, t, s, a, d, dtype, seed=seed)
        active = lists(2, t, (round(share * t), t), t, seed)
        fresh = Fresh(key + 1, value - 1, active)
        rng = np.random.default_rng(seed)
        bias = jnp.asarray(rng.standard_normal((2, t, s)), jnp.float32)
        options = {"fresh": fresh, "bias": bias}
        self.check(query, key, value, active, 2.0, **options)
        self.check(query, key, value, None, 2.0, **options)

    @pytest.mark.parametrize(
        ("width", "dtype"), [(64, jnp.float32), (128, jnp.bfloat16)]
    )
    def test_head_widths_and_dtypes(self, width, dtype):
        self.check(*arrays(1, 3, 8, 2, width, dtype), jnp.array([[2, 0]]))

    @pytest.mark.parametrize("count", [0, 1, 3])
    def test_an_empty_region_one_tile_and_a_full_region(self, count):
        found = self.check(*arrays(1, 3, 5, 2, 16), lists(1, 3, (count,), 3))
        assert not np.asarray(found.out)[:, count:].any()

    def test_a_region_may_be_a_part_of_the_queries(self):
        query, key, value = arrays(2, 5, 4, 2, 16)
        self.check(query[:, :4], key, value, jnp.array([[3, 1], [0, -1]]))

    def test_extreme_logits(self):
        operands = arrays(1, 3, 5, 1, 16, scale=30.0)
        self.check(*operands, jnp.array([[1]]), scale=100.0)

    def test_a_bias_counts_and_drops_keys(self):
        operands = arrays(1, 2, 4, 1, 16)
        bias = jnp.zeros((1, 2, 4)).at[0, 0, 1].set(np.log(3.0))
        bias = bias.at[0, 1].set(-jnp.inf)
        self.check(*operands, jnp.array([[0]]), bias=bias)
        none = jnp.full((1, 2, 4), -jnp.inf)
        found = self.check(*operands, jnp.array([[0]]), bias=none)
        assert not np.asarray(found.out)[0, 0].any()

    def test_parts_are_combined_by_their_sums_of_weights(self):
        """What ring attention does, each device having some of the keys."""
        query, key, value = arrays(1, 4, 6, 2, 16)
        attend = partial(
            masked_region_attention,
            active=jnp.array([[3, 1]]),
            logsumexp=True,
            implementation=self.implementation,
        )
        whole = attend(query, key, value)
        parts = [attend(query, key[:, i::2], value[:, i::2]) for i in range(2)]
        sums = jnp.stack([x.logsumexp for x in parts])
        shares = jax.nn.softmax(sums, axis=0)[..., None]
        outs = jnp.stack([x.out for x in parts])
        naive.close((shares * outs).sum(0), whole.out, "float32")
        total = jax.nn.logsumexp(sums, axis=0)
        naive.close(total, np.asarray(whole.logsumexp), "float32")

    def test_a_packed_query_and_the_buffers_of_a_region_step(self):
        _, key, value = arrays(1, 4, 3, 1, 16)
        query, own_key, own_value = arrays(1, 2, 3, 1, 16, seed=1)
        fresh = Fresh(own_key, own_value, jnp.array([[3, 0]]))
        self.check(query, key, value, fresh=fresh)

    def test_a_traced_id_out_of_range_is_padding(self):
        """Neither read nor written there: a GPU has no check of its own."""
        query, key, value = arrays(1, 5, 4, 2, 16)
        attend = partial(
            masked_region_attention,
            *(query, key, value),
            logsumexp=True,
            implementation=self.implementation,
        )
        traced = jax.jit(lambda ids: attend(ids, fresh=Fresh(value, key, ids)))
        want = traced(jnp.array([[2, -1, 0, -1, 1]]))
        for wrong in (5, 2**20, -7):
            found = traced(jnp.array([[2, wrong, 0, -1, 1]]))
            jax.tree.map(np.testing.assert_array_equal, found, want)
            assert np.isfinite(found.out).all() and not found.out[0, 1].any()


class TestReference(Checks):
    implementation = "reference"


class TestTpuInterpreted(Checks):
    implementation = "tpu_interpreted"

    def test_many_blocks_some_of_them_padding(self, monkeypatch):
        monkeypatch.setattr(blocks, "fitted", lambda *_: blocks.Tiles(2, 3))
        operands = arrays(2, 7, 4, 2, 128)
        active = jnp.array([[6, 2, 0, -1, -1, -1, -1], [5, 4, 3, 2, 1, 0, 6]])
        self.check(*operands, active)
        self.check(*operands)

    @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
    def test_many_blocks_with_all_options(self, monkeypatch, dtype):
        monkeypatch.setattr(blocks, "fitted", lambda *_: blocks.Tiles(2, 3))
        operands, options = many_blocks(dtype)
        self.check(*operands, 2.0, **options)
        self.check(*operands[:3], None, 2.0, **options)

    def test_more_fresh_tiles_than_are_copied_at_once(self):
        query, key, value = arrays(1, 19, 2, 1, 16)
        tiles = lists(1, 19, (17,), 17)
        fresh = Fresh(key[:, :17] + 1, value[:, :17] - 1, tiles)
        self.check(query[:, :1], key, value, fresh=fresh)


@pytest.mark.tpu
class TestTpu(Checks):
    implementation = "tpu"


class TestGpuInterpreted(Checks):
    implementation = "gpu_interpreted"

    @pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
    def test_many_blocks_with_all_options(self, monkeypatch, dtype):
        """Neither a tile nor what is copied of it is a whole number of blocks."""
        small = GpuBlock(query=16, key=16, warps=4, stages=1)
        monkeypatch.setattr(gpu_block, "fitted", lambda *_: small)
        monkeypatch.setattr(gpu, "COPIED", 64)
        operands, options = many_blocks(dtype)
        self.check(*operands, 2.0, **options)
        self.check(*operands[:3], None, 2.0, **options)


@pytest.mark.gpu
class TestGpu(Checks):
    implementation = "gpu"


def test_what_does_not_go_together_is_refused():
    query, key, value = arrays(1, 2, 4, 1, 16)
    with pytest.raises(ValueError, match="one dtype.*key.dtype=dtype.bfloat16"):
        masked_region_attention(query, key.astype(jnp.bfloat16), value)
    with pytest.raises(ValueError, match="3 active tiles of 2"):
        masked_region_attention(query, key, value, jnp.array([[0, 1, 1]]))


@pytest.mark.parametrize(
    "tiles, message",
    [
        ([[0, 3]], "there are 3 tiles, numbered from 0, got 3"),
        ([[1, 1]], "named at most once"),
    ],
)
def test_impossible_tiles_are_refused_where_they_are_known(tiles, message):
    query, key, value = arrays(1, 3, 4, 1, 16)
    tiles = jnp.array(tiles)
    with pytest.raises(ValueError, match=f"active: .*{message}"):
        masked_region_attention(query, key, value, tiles)
    with pytest.raises(ValueError, match=f"fresh.tiles: .*{message}"):
        fresh = Fresh(key[:, :2], value[:, :2], tiles)
        masked_region_attention(query, key, value, fresh=fresh)


def test_a_variant_refuses_what_it_cannot_do():
    operands = arrays(1, 2, 4, 1, 16, jnp.float16)
    with pytest.raises(NotImplementedError, match="neither bfloat16 nor float32"):
        masked_region_attention(*operands, implementation="tpu_interpreted")
    for width in (24, 256):
        wide = jax.ShapeDtypeStruct((1, 2, 4, 1, width), jnp.float32)
        reason = dispatch.refusal(NAME, "gpu", wide)
        assert f"heads of width {width}" in reason


@pytest.mark.parametrize("rows, refused", [(5, False), (6, True)])
def test_offsets_that_do_not_fit_in_32_bits_are_refused_on_a_gpu(rows, refused):
    """Wan 14B at 720p: 387 million numbers of keys a row."""
    shape = lambda k: jax.ShapeDtypeStruct((rows, k, 120, 40, 128), jnp.bfloat16)
    for arrays in [(shape(10), shape(630)), (shape(630), shape(10))]:
        reason = dispatch.refusal(NAME, "gpu", *arrays)
        assert bool(reason) == refused
        assert not refused or "do not fit in 32 bits; take fewer rows" in reason
        assert dispatch.refusal(NAME, "tpu", *arrays) is None


def test_tiles_that_do_not_fit_on_a_tpu_are_refused_by_their_size():
    operands = arrays(1, 1, 2197, 1, 128, jnp.bfloat16)
    with pytest.raises(NotImplementedError, match="tiles of 2197 tokens: .* than 1024"):
        masked_region_attention(*operands, implementation="tpu_interpreted")
    for size, a, d, dtype in [(512, 2, 64, "float32"), (845, 12, 128, "bfloat16")]:
        some = jax.ShapeDtypeStruct((1, 2, size, a, d), dtype)
        assert dispatch.refusal(NAME, "tpu", some) is None


def test_blocks_are_whole_tiles_near_the_wanted_rows():
    fitted = partial(blocks.fitted, "any")
    assert fitted(1, 195, 42, 168) == blocks.Tiles(4, 12)
    assert fitted(1, 4096, 3, 8) == blocks.Tiles(1, 1)
    assert fitted(1, 120, 42, 630) == blocks.Tiles(6, 21)
    assert fitted(1, 120, 42, 631) == blocks.Tiles(6, 21)


def test_rows_that_take_more_on_the_chip_are_fewer_in_a_block():
    weights = [blocks.weight(12, w, x) for w in (128, 64) for x in (2, 4)]
    assert weights == [1, 2, 2, 4] and blocks.weight(3, 256, 2) == 2
    found = [blocks.fitted("any", x, 100, 50, 50) for x in (1, 2, 3, 4)]
    assert [tiles.query for tiles in found] == [8, 8, 4, 4]
    assert [tiles.key for tiles in found] == [24, 10, 10, 10]
