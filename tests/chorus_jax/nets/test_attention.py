"""The attention door against a naive softmax, and its choices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chorus_jax.devices import sharding
from chorus_jax.nets import chunked_attention, splash
from chorus_jax.nets.attention import attention, choose
from chorus_jax.nets.chunked_attention import chunked


def naive(query, key, value, bias=None):
    """In float64, one head at a time."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    logits = np.einsum("bnad,bmad->banm", query, key) / np.sqrt(query.shape[-1])
    if bias is not None:
        logits += np.asarray(bias, np.float64)[:, None, None]
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("banm,bmad->bnad", weights, value)


def random(b, n, m, a, d, scale=1.0):
    rng = np.random.default_rng(n * m)
    shapes = [(b, rows, a, d) for rows in (n, m, m)]
    return [jnp.asarray(scale * rng.standard_normal(s), jnp.float32) for s in shapes]


@settings(max_examples=10)
@given(
    b=st.integers(1, 2),
    n=st.integers(1, 300),
    m=st.integers(1, 150),
    a=st.integers(1, 3),
    scale=st.sampled_from([0.1, 1.0, 6.0]),
)
def test_any_shape_equals_naive(b, n, m, a, scale):
    query, key, value = random(b, n, m, a, 8, scale)
    out = jax.jit(attention)(query, key, value)
    # Logits of 100 carry float32 errors of 1e-5, which the exponential passes on.
    np.testing.assert_allclose(out, naive(query, key, value), atol=5e-5 * scale)


@pytest.mark.parametrize("budget", [2**12, 2**16, 2**30], ids=["rows", "head", "heads"])
def test_any_block_size_gives_the_same(budget, monkeypatch):
    query, key, value = random(2, 333, 70, 3, 8)
    monkeypatch.setitem(chunked_attention.LOGITS, "cpu", budget)
    np.testing.assert_allclose(
        chunked(query, key, value, None), naive(query, key, value), atol=1e-5
    )


def plain(query, key, value, bias):
    logits = jnp.einsum("bnad,bmad->banm", query, key) * query.shape[-1] ** -0.5
    weights = jax.nn.softmax(logits + bias[:, None, None, :])
    return jnp.einsum("banm,bmad->bnad", weights, value)


@pytest.mark.parametrize("budget", [2**12, 2**16, 2**30], ids=["rows", "head", "heads"])
def test_the_gradient_is_that_of_plain_attention(budget, monkeypatch):
    monkeypatch.setitem(chunked_attention.LOGITS, "cpu", budget)
    operands = (*random(2, 333, 70, 3, 8), random(2, 70, 1, 1, 1)[0][..., 0, 0])
    weigh = jnp.asarray(np.random.default_rng(1).standard_normal((2, 333, 3, 8)))

    def gradients(function):
        total = lambda *x: (function(*x) * weigh.astype(jnp.float32)).sum()
        return jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))(*operands)

    for found, want in zip(gradients(chunked), gradients(plain), strict=True):
        np.testing.assert_allclose(found, want, atol=2e-5 * np.abs(want).max())


def test_a_dropped_key_has_no_gradient():
    query, key, value = random(1, 9, 4, 2, 8)
    bias = jnp.array([[0.0, 0.0, -jnp.inf, 0.0]])
    total = lambda value: chunked(query, key, value, bias).sum()
    found = jax.grad(total)(value)
    assert np.isfinite(found).all() and not found[:, 2].any() and found[:, 1].all()


def test_bias_counts_and_drops_keys():
    query, key, value = random(1, 9, 4, 2, 8)
    bias = jnp.array([[0.0, np.log(3.0), -jnp.inf, 0.0]])
    repeated = jnp.array([0, 1, 1, 1, 3])
    want = naive(query, key[:, repeated], value[:, repeated])
    np.testing.assert_allclose(attention(query, key, value, bias), want, atol=1e-5)


def test_logits_and_softmax_are_float32_in_bfloat16():
    query, key, value = (x.astype(jnp.bfloat16) for x in random(1, 64, 64, 2, 64))
    out = attention(query, key, value)
    assert out.dtype == jnp.bfloat16
    want = naive(query, key, value)
    assert np.abs(np.asarray(out, np.float32) - want).max() < 0.01


@pytest.mark.parametrize(
    "function",
    [attention, jax.grad(lambda *x: attention(*x).sum(), argnums=(0, 1, 2))],
    ids=["forward", "gradient"],
)
def test_memory_is_blocks_not_all_logits(function):
    shape = jax.ShapeDtypeStruct((1, 8192, 2, 64), jnp.float32)
    compiled = jax.jit(function).lower(shape, shape, shape).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2 * 8192 * 8192 * 4 / 8


def test_under_a_mesh_equals_one_device():
    query, key, value = random(2, 32, 24, 4, 8)
    bias = jnp.zeros((2, 24)).at[:, 20:].set(-jnp.inf)
    alone = attention(query, key, value, bias)
    with jax.set_mesh(sharding.make_mesh(data=2, context=2, tensor=2)):
        split = jax.jit(attention)(query, key, value, bias)
    np.testing.assert_allclose(split, alone, atol=1e-6)


@pytest.mark.parametrize(
    "platform, dtype, biased, name, reason",
    [
        ("tpu", "bfloat16", False, "splash", "the tpu's own kernel"),
        ("tpu", "bfloat16", True, "chunked", "splash takes no bias"),
        ("gpu", "bfloat16", False, "cudnn", "the gpu's own kernel"),
        ("gpu", "float32", False, "chunked", "cudnn takes 16-bit numbers"),
        ("cpu", "bfloat16", False, "chunked", "no kernel runs on a cpu"),
        ("npu", "bfloat16", False, "chunked", "no kernel is known for a npu"),
    ],
)
def test_the_choice_is_stated_with_its_reason(platform, dtype, biased, name, reason):
    choice = choose(platform, jnp.dtype(dtype), biased)
    assert choice.name == name and choice.reason.startswith(reason)


def test_heads_that_a_mesh_does_not_divide_are_refused():
    query, key, value = random(1, 4, 4, 6, 8)
    with jax.set_mesh(sharding.make_mesh(tensor=4, data=2)):
        with pytest.raises(ValueError, match="attention of 6 heads over tensor=4"):
            attention(query, key, value)


@pytest.mark.parametrize("keys", [200, 700, 2500])
def test_splash_blocks_divide_what_they_compute_at_a_time(keys, monkeypatch):
    """The library wants parts of equal size, of whole groups of lanes."""
    made = []
    original = splash.splash_kernel.make_splash_mha

    def spy(mask, block_sizes, **options):
        made.append(block_sizes)
        return original(mask, block_sizes=block_sizes, interpret=True, **options)

    monkeypatch.setattr(splash.splash_kernel, "make_splash_mha", spy)
    query, key, value = random(1, 20, keys, 1, 128)
    found = splash.attend(query, key, value)
    np.testing.assert_allclose(found, naive(query, key, value), atol=1e-4)
    [sizes] = made
    assert sizes.block_kv % sizes.block_kv_compute == 0
    assert sizes.block_kv_compute % 128 == 0


def test_a_named_implementation_does_not_fall_back():
    query, key, value = random(1, 4, 4, 1, 8)
    with pytest.raises(ValueError, match="'flash' is none of chunked, cudnn, splash"):
        attention(query, key, value, implementation="flash")
    for name in ("cudnn", "splash"):
        with pytest.raises(ValueError, match="takes no bias"):
            attention(query, key, value, jnp.zeros((1, 4)), implementation=name)
