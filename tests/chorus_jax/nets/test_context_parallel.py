"""Attention over tokens that are split over devices: one device's results, by the
exchanges that the mesh asks for and no others."""

import logging
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.devices import sharding
from chorus_jax.nets import context_parallel, splash
from chorus_jax.nets.attention import attention, part_here
from chorus_jax.nets.context_parallel import ContextSplit, joined, split_of
from tests.chorus_jax.collectives import collectives, largest

over_tokens = partial(attention, keys="tokens")
CASES = {
    "ulysses": ({"context": 8}, 8, {"all-to-all"}),
    "a ring where heads do not divide": ({"context": 4}, 6, {"collective-permute"}),
    "a named ring": ({"ring": 4}, 3, {"collective-permute"}),
    "both": ({"ring": 2, "context": 4}, 4, {"all-to-all", "collective-permute"}),
    "both beside heads": (
        {"ring": 2, "context": 2, "tensor": 2},
        4,
        {"all-to-all", "collective-permute"},
    ),
}


def random(*shapes):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def operands(n, m, heads):
    return random((2, n, heads, 8), (2, m, heads, 8), (2, m, heads, 8), (2, m))


def mesh_of(sizes):
    count = int(np.prod(list(sizes.values())))
    return sharding.make_mesh(**sizes, devices=jax.devices()[:count])


@pytest.mark.parametrize("biased", [False, True], ids=["plain", "biased"])
@pytest.mark.parametrize("name", CASES)
def test_split_tokens_attend_as_on_one_device(name, biased):
    sizes, heads, wanted = CASES[name]
    *given, bias = operands(32, 64, heads)
    bias = bias if biased else None
    alone = attention(*given, bias)
    with jax.set_mesh(mesh_of(sizes)):
        compiled = jax.jit(over_tokens).lower(*given, bias).compile()
        split = compiled(*given, bias)
    np.testing.assert_allclose(split, alone, atol=2e-6)
    assert collectives(compiled) == wanted
    # A device gets blocks of keys, never all keys of all heads.
    assert all(largest(compiled, x) < given[1].size for x in wanted)
    assert split.addressable_shards[0].data.size == split.size // len(split.devices())


@pytest.mark.parametrize("n, m", [(30, 30), (5, 13)])
@pytest.mark.parametrize("name", ["ulysses", "a named ring", "both"])
def test_tokens_that_do_not_divide(name, n, m):
    sizes, heads, _ = CASES[name]
    *given, _ = operands(n, m, heads)
    alone = attention(*given)
    with jax.set_mesh(mesh_of(sizes)):
        split = jax.jit(over_tokens)(*given)
    np.testing.assert_allclose(split, alone, atol=2e-6)


def test_the_gradient_is_that_of_one_device():
    *given, _ = operands(16, 16, 4)
    total = lambda attend: lambda *x: (attend(*x) ** 2).sum()
    alone = jax.grad(total(attention), argnums=(0, 1, 2))(*given)
    with jax.set_mesh(mesh_of({"ring": 2, "context": 2})):
        split = jax.jit(jax.grad(total(over_tokens), argnums=(0, 1, 2)))(*given)
    for ours, wanted in zip(split, alone, strict=True):
        np.testing.assert_allclose(ours, wanted, atol=1e-5)


def test_ulysses_changes_no_sum():
    """Each device computes whole rows: not a bit differs."""
    *given, _ = operands(32, 32, 8)
    with jax.set_mesh(mesh_of({"context": 1})):
        alone = jax.jit(over_tokens)(*given)
    with jax.set_mesh(mesh_of({"context": 4})):
        split = jax.jit(over_tokens)(*given)
    np.testing.assert_array_equal(split, alone)


def test_heads_that_context_does_not_divide_are_refused_beside_a_ring():
    *given, _ = operands(8, 8, 3)
    with jax.set_mesh(mesh_of({"ring": 2, "context": 4})):
        with pytest.raises(ValueError, match="context=4 .*3 heads of a device: 1, 3 w"):
            over_tokens(*given)


def test_cudnn_goes_round_no_ring():
    *given, _ = operands(8, 8, 3)
    with jax.set_mesh(mesh_of({"ring": 2})):
        with pytest.raises(ValueError, match="'cudnn' does not go round a ring"):
            over_tokens(*given, implementation="cudnn")


def test_the_choice_is_logged_once(caplog):
    context_parallel.say_once.cache_clear()
    with caplog.at_level(logging.INFO, context_parallel.__name__):
        with jax.set_mesh(mesh_of({"context": 4, "tensor": 2})):
            ContextSplit.of(12)
            ContextSplit.of(8)
            ContextSplit.of(8)
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("12 heads over data=1, context=4, tensor=2: ring attention")
    assert second.endswith("Ulysses over 4 devices")


@pytest.mark.parametrize(
    "sizes, heads, wanted",
    [
        ({"context": 4}, 12, ("context", ())),
        ({"context": 8}, 12, (None, ("context",))),
        ({"ring": 2, "context": 4}, 12, ("context", ("ring",))),
        ({"tensor": 8}, 16, (None, ())),
    ],
)
def test_the_rule(sizes, heads, wanted):
    assert split_of(mesh_of(sizes), heads) == wanted


def test_parts_of_the_keys_are_joined():
    query, key, value, bias = operands(9, 24, 2)
    key = 20 * key  # one part outweighs the other
    parts = [
        part_here(query, key[:, x], value[:, x], bias[:, x])
        for x in (slice(0, 10), slice(10, 24))
    ]
    want = attention(query, key, value, bias)
    np.testing.assert_allclose(joined(*parts).out, want, atol=2e-5)


def test_splash_gives_its_sums(monkeypatch):
    original = splash.splash_kernel.make_splash_mha
    monkeypatch.setattr(
        splash.splash_kernel,
        "make_splash_mha",
        lambda *x, **options: original(*x, interpret=True, **options),
    )
    query, key, value = random((1, 20, 1, 128), (1, 200, 1, 128), (1, 200, 1, 128))
    out, total = splash.attend_part(query, key, value)
    want = part_here(query, key, value)
    np.testing.assert_allclose(out, want.out, atol=1e-4)
    np.testing.assert_allclose(total, want.total, atol=1e-4)
