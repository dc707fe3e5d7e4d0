"""The doors to our kernels: the plain path's results, on a mesh, and their gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.devices import sharding
from chorus_jax.nets import kernel_attention
from chorus_jax.nets.kernel_attention import over_text, over_tiles
from chorus_jax.nets.split_tiles import FreshTokens
from kernels_pallas import dispatch

# Of the last, neither the tiles nor the 12 queries are a multiple.
MESHES = [
    {"data": 2, "context": 2, "tensor": 2},
    {"tensor": 4, "data": 2},
    {"context": 8},
]


def random(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def text(residual=True):
    operands = random(2, 12, 4, 16), random(2, 6, 4, 16), random(2, 6, 4, 16, seed=1)
    gains = random(2, 6) ** 2, random(2, seed=2)
    more = random(2, 12, 4, 16, seed=3) if residual else None
    return *operands, random(2, 6, seed=4), gains, more


def tiles(k):
    key, value = (random(2, x, 3, 4, 16, seed=x) for x in (5, 6))
    query = random(2, 3 * k, 4, 16, seed=k)
    fresh = FreshTokens(
        random(2, 3 * k, 4, 16, seed=8),
        random(2, 3 * k, 4, 16, seed=9),
        jnp.array([[4, 0, 2][:k], [1, 3, 0][:k]]),
    )
    return query, key, value[:, :5], fresh, random(2, 5, 3, seed=7)


@pytest.mark.parametrize("biased", [True, False])
def test_the_kernel_over_tiles_is_the_plain_path(biased):
    *operands, bias = tiles(3)
    operands.append(bias if biased else None)
    found = over_tiles(*operands, implementation="reference")
    np.testing.assert_allclose(found, over_tiles(*operands), atol=1e-5)


@pytest.mark.parametrize("biased", [True, False])
def test_padding_tiles_have_no_weight_without_a_mesh_too(biased):
    query, key, value, fresh, bias = tiles(3)
    more = lambda x: jnp.pad(x, [(0, 0), (0, 2), *[(0, 0)] * (x.ndim - 2)])
    key, bias = key[:, :5], bias if biased else None
    padded = more(key), more(value), fresh, None if bias is None else more(bias)
    found = over_tiles(query, *padded, count=5)
    want = over_tiles(query, key, value, fresh, bias)
    np.testing.assert_allclose(found, want, atol=1e-5)


@pytest.mark.parametrize(
    "k, context, wanted", [(3, 8, (3, 1, 4)), (3, 2, (3, 5, 2)), (2, 2, (2, 5, 2))]
)
def test_a_mesh_shares_tiles_out_that_it_does_not_divide(
    k, context, wanted, monkeypatch
):
    """Not all of them to all devices, which would be that many times the work: a ring
    shares out the tiles of keys, an exchange the heads."""
    kernel, run = kernel_attention.masked_region_attention, []

    def spy(query, key, *operands, **options):
        run.append((query.shape[1], key.shape[1], query.shape[3]))
        return kernel(query, key, *operands, **options)

    monkeypatch.setattr(kernel_attention, "masked_region_attention", spy)
    alone = over_tiles(*tiles(k), implementation="reference")
    devices = jax.devices()[:context]
    with jax.set_mesh(sharding.make_mesh(context=context, devices=devices)):
        split = jax.jit(partial(over_tiles, implementation="reference"))(*tiles(k))
    np.testing.assert_allclose(split, alone, atol=1e-5)
    assert run == [(k, 5, 4), wanted]


@pytest.mark.parametrize("door, operands", [(over_tiles, 2), (over_text, True)])
def test_heads_that_a_mesh_does_not_divide_are_refused(door, operands):
    made = tiles(operands) if door is over_tiles else text(operands)
    with jax.set_mesh(sharding.make_mesh(tensor=8)):
        with pytest.raises(ValueError, match="attention of 4 heads over tensor=8"):
            door(*made, implementation="reference")


@pytest.mark.parametrize("sizes", MESHES, ids=str)
@pytest.mark.parametrize(
    ("implementation", "k"), [("reference", 3), ("gpu_interpreted", 2)]
)
def test_a_mesh_changes_nothing_over_tiles(sizes, implementation, k):
    with dispatch.forced(implementation):
        alone = over_tiles(*tiles(k))
        with jax.set_mesh(sharding.make_mesh(**sizes)):
            split = jax.jit(over_tiles)(*tiles(k))
    np.testing.assert_allclose(split, alone, atol=1e-5)


@pytest.mark.parametrize("sizes", MESHES, ids=str)
@pytest.mark.parametrize("implementation", [None, "reference", "gpu_interpreted"])
def test_a_mesh_changes_nothing_over_text(sizes, implementation):
    with dispatch.forced(implementation):
        alone = over_text(*text())
        with jax.set_mesh(sharding.make_mesh(**sizes)):
            split = jax.jit(over_text)(*text())
    np.testing.assert_allclose(split, alone, atol=1e-5)


@pytest.mark.parametrize("residual", [True, False])
def test_the_kernel_over_text_is_the_plain_path(residual):
    with dispatch.forced("reference"):
        found = over_text(*text(residual))
    np.testing.assert_allclose(found, over_text(*text(residual)), atol=1e-5)


def test_the_kernels_gradient_is_the_plain_paths():
    *operands, gains, _ = text()

    def total(operands):
        return (over_text(*operands, gains, None) ** 2).sum()

    want = jax.grad(total)(operands)
    with dispatch.forced("reference"):
        found = jax.grad(total)(operands)
    for x, y in zip(found, want, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-4)


def test_tpu_kernels_run_on_each_device_of_a_mesh():
    with dispatch.forced("tpu_interpreted"):
        alone = over_tiles(*tiles(2))
        with jax.set_mesh(sharding.make_mesh(tensor=2, devices=jax.devices()[:2])):
            split = jax.jit(over_tiles)(*tiles(2))
    np.testing.assert_allclose(split, alone, atol=1e-5)
