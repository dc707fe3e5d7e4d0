"""A trained transformer with more layers is the same function, and can learn."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.training.deepen import deepened, layer_order
from chorus_jax.training.initial_flow import TRANSFORMER, initial_transformer
from chorus_jax.training.params import abstract_part, assembled


@pytest.mark.parametrize(
    "depth, deeper, order",
    [
        (2, 2, [0, 1]),
        (2, 3, [0, 2, 1]),
        (5, 7, [0, 5, 1, 2, 6, 3, 4]),
        (3, 5, [0, 3, 1, 4, 2]),
    ],
)
def test_new_layers_are_evenly_spread(depth, deeper, order):
    assert layer_order(depth, deeper).tolist() == order


@pytest.fixture(scope="module")
def config(recipe):
    return replace(recipe.transformer, depth=2, dtype="float32")


@pytest.fixture(scope="module")
def trained(config):
    """Parameters of which none is zero, as after a training."""
    params = initial_transformer(config, 0)
    keys = jax.random.split(jax.random.key(1), len(params))
    return {
        name: x + 0.02 * jax.random.normal(key, x.shape)
        for key, (name, x) in zip(keys, params.items(), strict=True)
    }


def velocity(params, config):
    model = assembled(TRANSFORMER, params, abstract_part(WanDiT, config))
    latents = jax.random.normal(jax.random.key(2), (1, 5, 4, 4, config.in_channels))
    text = jax.random.normal(jax.random.key(3), (1, 6, config.text_width))
    return jax.jit(model)(latents, jnp.float32([500.0]), text)


def test_a_deeper_model_is_the_same_function(config, trained):
    deeper = replace(config, depth=4)
    params = deepened(trained, 2, deeper, seed=5)
    np.testing.assert_array_equal(velocity(params, deeper), velocity(trained, config))


def test_as_many_layers_change_nothing(config, trained):
    params = deepened(trained, 2, config, seed=5)
    assert all(params[name] is x for name, x in trained.items())


def test_new_layers_learn_at_once(config, trained):
    deeper = replace(config, depth=3)
    params = deepened(trained, 2, deeper, seed=5)
    found = jax.grad(lambda p: jnp.square(velocity(p, deeper)).mean())(params)
    for name in ("attn.o.kernel", "cross.o.kernel", "mlp.outer.kernel"):
        assert float(jnp.abs(found[f"{TRANSFORMER}.layers.{name}"][1]).max()) > 0
