"""Amplified cross-attention, each implementation, against a float64 loop."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels_pallas import gpu_block
from kernels_pallas.amplified_cross_attention import blocks
from kernels_pallas.amplified_cross_attention.api import amplified_cross_attention
from kernels_pallas.gpu_block import GpuBlock
from tests.kernels_pallas import naive


def arrays(b, n, m, a, d, dtype=jnp.float32, scale=1.0, seed=0):
    """Queries, keys, values, and a residual."""
    rng = np.random.default_rng(seed)
    shapes = [(b, rows, a, d) for rows in (n, m, m, n)]
    return [jnp.asarray(scale * rng.standard_normal(s), dtype) for s in shapes]


def amplified(b, m, seed=0):
    """Gains of keys and output from 0.5 to 4, and a bias that drops a key."""
    rng = np.random.default_rng(seed)
    bias = rng.standard_normal((b, m))
    bias[:, -1] = -np.inf if m > 1 else 0
    return {
        "key_gain": jnp.asarray(rng.uniform(0.5, 4.0, (b, m)), jnp.float32),
        "output_gain": jnp.asarray(rng.uniform(0.5, 4.0, b), jnp.float32),
        "bias": jnp.asarray(bias, jnp.float32),
    }


def wanted(query, key, value, options):
    """All outputs, a head of a row at a time."""
    b, n, a, d = query.shape
    m = key.shape[1]
    out = np.zeros(query.shape)
    numbers = [
        np.asarray(options.get(name, default), np.float64)
        for name, default in [
            ("bias", np.zeros((b, m))),
            ("key_gain", np.ones((b, m))),
            ("output_gain", np.ones(b)),
            ("residual", np.zeros(query.shape)),
        ]
    ]
    bias, gain, output_gain, residual = numbers
    for row in range(b):
        for head in range(a):
            found = naive.softmax(
                *(x[row, :, head] for x in (query, key, value)), bias[row], gain[row]
            )[0]
            out[row, :, head] = output_gain[row] * found
    return out + residual


class Checks:
    """What holds of every implementation."""

    implementation: str

    def check(self, query, key, value, scale=1.0, **options):
        found = amplified_cross_attention(
            query, key, value, implementation=self.implementation, **options
        )
        want = wanted(query, key, value, options)
        naive.close(found, want, query.dtype, scale)

    @naive.FEW
    @given(
        n=st.integers(1, 40),
        m=st.integers(1, 20),
        a=st.integers(1, 3),
        d=st.sampled_from([16, 64]),
        dtype=st.sampled_from([jnp.float32, jnp.bfloat16]),
        seed=st.integers(0, 99),
        residual=st.booleans(),
    )
    def test_any_shape_equals_the_loop(self, n, m, a, d, dtype, seed, residual):
        query, key, value, more = arrays(2, n, m, a, d, dtype, seed=seed)
        options = amplified(2, m, seed) | ({"residual": more} if residual else {})
        self.check(query, key, value, 4.0, **options)

    @pytest.mark.parametrize(
        ("width", "dtype"), [(64, jnp.float32), (128, jnp.bfloat16)]
    )
    def test_head_widths_and_dtypes(self, width, dtype):
        query, key, value, more = arrays(1, 24, 16, 2, width, dtype)
        self.check(query, key, value, 4.0, residual=more, **amplified(1, 16))

    def test_without_gains_it_is_plain_attention(self):
        self.check(*arrays(1, 9, 5, 2, 16)[:3])

    def test_extreme_logits(self):
        query, key, value, _ = arrays(1, 9, 5, 1, 16, scale=30.0)
        self.check(query, key, value, 400.0, **amplified(1, 5))

    def test_a_query_without_keys_gets_its_residual(self):
        query, key, value, more = arrays(1, 9, 5, 1, 16)
        none = jnp.full((1, 5), -jnp.inf)
        self.check(query, key, value, bias=none, residual=more)


class TestReference(Checks):
    implementation = "reference"


class TestTpuInterpreted(Checks):
    implementation = "tpu_interpreted"

    def test_many_blocks_the_last_one_short(self, monkeypatch):
        small = blocks.QueryBlock(16, 1)
        monkeypatch.setattr(blocks, "fitted", lambda *_: small)
        query, key, value, more = arrays(1, 40, 7, 2, 128)
        self.check(query, key, value, 4.0, residual=more, **amplified(1, 7))


@pytest.mark.tpu
class TestTpu(Checks):
    implementation = "tpu"


class TestGpuInterpreted(Checks):
    implementation = "gpu_interpreted"

    def test_many_blocks_the_last_ones_short(self, monkeypatch):
        small = GpuBlock(query=16, key=16, warps=4, stages=1)
        monkeypatch.setattr(gpu_block, "fitted", lambda *_: small)
        query, key, value, more = arrays(2, 45, 37, 2, 16)
        options = amplified(2, 37) | {"residual": more}
        self.check(query, key, value, 4.0, **options)


@pytest.mark.gpu
class TestGpu(Checks):
    implementation = "gpu"


def test_the_log_of_a_count_as_bias_is_that_many_keys():
    query, key, value, _ = arrays(1, 6, 4, 2, 16)
    bias = jnp.array([[0.0, 0.0, 0.0, np.log(9.0)]])
    found = amplified_cross_attention(query, key, value, bias=bias)
    nine = jnp.array([0, 1, 2] + [3] * 9)
    want = wanted(query, key[:, nine], value[:, nine], {})
    naive.close(found, want, "float32")


def test_what_does_not_go_together_is_refused():
    query, key, value, _ = arrays(1, 6, 4, 1, 16)
    with pytest.raises(ValueError, match="are float32, but .*bfloat16"):
        amplified_cross_attention(query, key.astype(jnp.bfloat16), value)
    many = [jnp.repeat(x, 129, axis=1) for x in (key, value)]
    with pytest.raises(ValueError, match="516 keys are more than 512"):
        amplified_cross_attention(query, *many)


def test_a_block_has_as_many_heads_as_fit():
    assert blocks.together(12, 128, 5) == 4
    assert blocks.together(40, 64, 3) == 2
    assert blocks.together(3, 64, 1) == 3
    assert blocks.fitted("any", 128, 12, 128, 2) == blocks.QueryBlock(1024, 3)
