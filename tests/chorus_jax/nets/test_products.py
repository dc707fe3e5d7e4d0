"""Products: exact by default, rounded factors with exact sums where asked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus_jax.nets.layers import Linear
from chorus_jax.nets.products import matmul, transposed


def random(*shape, seed=0):
    rng = np.random.default_rng((seed, *shape))
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def as_low(x):
    return np.asarray(x.astype(jnp.bfloat16), np.float64)


@pytest.fixture
def rounding():
    with jax.default_matmul_precision("bfloat16"):
        yield


def test_float32_is_exact_unless_asked():
    rows, kernel = random(40, 300), random(300, 20)
    want = np.asarray(rows, np.float64) @ np.asarray(kernel, np.float64)
    assert np.abs(matmul(rows, kernel) - want).max() < 1e-4


@settings(max_examples=8)
@given(rows=st.integers(1, 70), inner=st.integers(1, 90), outer=st.integers(1, 60))
def test_rounded_factors_exact_sums(rows, inner, outer):
    one, other = random(rows, inner), random(inner, outer)
    with jax.default_matmul_precision("bfloat16"):
        found = jax.jit(matmul)(one, other)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, as_low(one) @ as_low(other), atol=1e-4)


@pytest.mark.parametrize("shape", [(64, 48, 32), (64, 32, 48)], ids=["in", "out"])
def test_gradients_are_rounded_products_too(rounding, shape):
    rows, inner, outer = shape
    one, other, way = random(rows, inner), random(inner, outer), random(rows, outer)
    _, back = jax.vjp(jax.jit(matmul), one, other)
    change, shift = back(way)
    np.testing.assert_allclose(change, as_low(way) @ as_low(other).T, atol=1e-4)
    np.testing.assert_allclose(shift, as_low(one).T @ as_low(way), atol=1e-4)


def test_a_linear_layer_is_compiled_again_when_asked():
    layer = Linear(96, 80, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0))
    call, x = jax.jit(lambda layer, x: layer(x)), random(50, 96)
    exact = call(layer, x)
    with jax.default_matmul_precision("bfloat16"):
        rounded = call(layer, x)
    error = np.abs(np.asarray(rounded - exact)).max()
    assert 1e-4 < error < 0.05
    np.testing.assert_array_equal(call(layer, x), exact)


def test_a_transpose_is_exact():
    x = random(70, 33).astype(jnp.bfloat16)
    found = jax.jit(transposed)(x)
    np.testing.assert_array_equal(
        np.asarray(found, np.float32), np.asarray(x, np.float32).T
    )
