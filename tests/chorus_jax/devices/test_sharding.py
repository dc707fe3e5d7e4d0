"""Meshes, rules, and the sharded transformer against the same on one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

from chorus_jax import checkpoints
from chorus_jax.devices import sharding
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from tests.chorus_jax.collectives import gathered_widths
from tests.chorus_jax.denoise import tiny

CONFIG = WanConfig(
    heads=4, head_width=12, depth=2, mlp_width=64, text_width=16, dtype="float32"
)


def test_a_mesh_of_another_axis_type_is_refused():
    """Constraints of shardings mean something else there."""
    explicit = jax.make_mesh((1, 8, 1), ("data", "context", "tensor"))
    with pytest.raises(ValueError, match="the type Auto, got Explicit.*make_mesh"):
        sharding.check_axes(explicit)
    sharding.check_axes(sharding.make_mesh(context=8))


@pytest.fixture(scope="module")
def model():
    return jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()


@pytest.mark.parametrize(
    "sizes",
    [(1, 8, 1), (2, 1, 4), (2, 2, 2)],
    ids=lambda sizes: "data {} context {} tensor {}".format(*sizes),
)
def test_sharded_forward_equals_one_device(model, sizes):
    data, context, tensor = sizes
    keys = jax.random.split(jax.random.key(0), 2)
    latents = jax.random.normal(keys[0], (8, 2, 4, 8, 16))
    text, timestep = jax.random.normal(keys[1], (8, 5, 16)), jnp.full(8, 700.0)
    run = jax.jit(lambda m, *x: m(*x))
    alone = run(model, latents, timestep, text)
    mesh = sharding.make_mesh(data=data, context=context, tensor=tensor)
    with jax.set_mesh(mesh):
        split = jax.device_put(model, sharding.shardings(model, mesh))
        compiled = run.lower(split, latents, timestep, text).compile()
        out = compiled(split, latents, timestep, text)
    scale = np.abs(alone).max()
    assert np.abs(np.asarray(out) - np.asarray(alone)).max() / scale < 1e-5
    assert not gathered_widths(compiled) & {CONFIG.width, CONFIG.mlp_width}


def test_guidance_branches_of_one_request_are_split_over_data():
    """Each device computes one of them: half of the multiplications."""
    model = jax.jit(lambda: WanDiT(tiny.CONFIG, rngs=nnx.Rngs(0)))()
    operands = (tiny.conditions(model), tiny.noise(0), tiny.at(2))
    run = tiny.velocity.lower(model, *operands).compile()
    mesh = sharding.make_mesh(data=2, devices=jax.devices()[:2])
    with jax.set_mesh(mesh):
        split = jax.device_put(model, sharding.shardings(model, mesh))
        shared = tiny.velocity.lower(split, *operands).compile()
        ours = shared(split, *operands)
    np.testing.assert_allclose(ours, run(model, *operands), atol=1e-5)
    whole, half = (x.cost_analysis()["flops"] for x in (run, shared))
    assert half < 0.6 * whole


def test_tensor_axis_splits_what_it_should(model):
    mesh = sharding.make_mesh(data=2, tensor=4)
    specs = {
        name: x.spec
        for name, x in checkpoints.names(sharding.shardings(model, mesh)).items()
    }
    # The leading axis counts layers; q splits its outputs, o its inputs. A sharding has
    # one name: without the axes at its end that are whole.
    assert specs["layers.attn.q.kernel"] == PartitionSpec(None, None, "tensor")
    assert specs["layers.attn.o.kernel"] == PartitionSpec(None, "tensor")
    assert specs["layers.mlp.inner.bias"] == PartitionSpec(None, "tensor")
    assert specs["layers.modulation"] == PartitionSpec()
    split = jax.device_put(model, sharding.shardings(model, mesh))
    kernel = checkpoints.names(split)["layers.mlp.inner.kernel"]
    assert kernel.addressable_shards[0].data.shape == (2, 48, 16)


def test_every_logical_axis_has_a_rule(model):
    for leaf in jax.tree.leaves(model, is_leaf=lambda x: isinstance(x, nnx.Variable)):
        assert set(leaf.get_metadata()["axes"]) <= {None, *sharding.RULES}


def test_constrain_does_nothing_without_a_mesh():
    x = jnp.ones((2, 3))
    assert sharding.constrain(x, "batch", None) is x


def test_refusals_name_the_sizes(model):
    with pytest.raises(ValueError, match="needs 6 devices, but 8 are given"):
        sharding.make_mesh(data=3, tensor=2)
    mesh = sharding.make_mesh(tensor=5, devices=jax.devices()[:5])
    with pytest.raises(
        ValueError, match=r"layers.attn.k.kernel \(2, 48, 48\) over tensor=5"
    ):
        sharding.shardings(model, mesh)


def test_platform_is_that_of_the_mesh():
    assert sharding.platform() == "cpu"
    with jax.set_mesh(sharding.make_mesh(data=8)):
        assert sharding.platform() == "cpu"
