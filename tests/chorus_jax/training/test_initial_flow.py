"""How training starts: nothing is added, and three heads look where they should."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.models.rotary import rotary_table, rotate
from chorus_jax.models.wan import WanDiT
from chorus_jax.training.initial_flow import (
    LOOKS,
    TRANSFORMER,
    constants,
    initial_transformer,
)
from chorus_jax.training.params import abstract_part, assembled

GRID = (5, 8, 8)


@pytest.fixture(scope="module")
def weights(recipe):
    """Attention of the first layer's heads from each token to each, [a f h w f h w]."""
    config = replace(recipe.transformer, heads=5, head_width=32, dtype="float32")
    like = abstract_part(WanDiT, config)
    model = assembled(TRANSFORMER, initial_transformer(config, 0), like)
    attn = jax.tree.map(lambda x: x[0], model.layers).attn
    table = rotary_table(GRID, 32)
    x = jax.random.normal(jax.random.key(0), (1, 320, 160))
    query, key = rotate(attn.queries(x), table), rotate(attn.keys(x)[0], table)
    logits = jnp.einsum("bnad,bmad->anm", query, key) * 32**-0.5
    return np.asarray(jax.nn.softmax(logits)).reshape(5, *GRID, *GRID)


@pytest.mark.parametrize("head", range(len(LOOKS)))
def test_a_head_keeps_to_its_place_along_its_axes_only(weights, head):
    here = weights[head, 2, 3, 3]
    for axis, place in enumerate((2, 3, 3)):
        others = tuple(i for i in range(3) if i != axis)
        along = here.sum(axis=others)
        even = 1 / GRID[axis]
        if axis in LOOKS[head]:
            assert along.argmax() == place and along[place] > 3 * even
        else:
            assert along.max() < 2 * even


def test_the_other_heads_look_everywhere(weights):
    assert weights[3:].max() < 0.1


def test_the_smallest_models_start_too(recipe):
    config = recipe.transformer
    assert constants(config).shape == (config.width,)
    params = initial_transformer(config, 0)
    assert all(bool(jnp.isfinite(x).all()) for x in params.values())
