"""Positional heads: attention starts at the given offset, for any tokens."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.nets.rotary import rotary_table, rotate
from chorus_jax.training.initial_flow import TRANSFORMER, initial_transformer
from chorus_jax.training.looks import SIDES, constants, looks, sides
from chorus_jax.training.params import abstract_part, assembled

GRID = (5, 8, 8)
PLACE = (2, 3, 3)


def first_attention(config, seen):
    """Attention of the first layer's heads from one token to each, [a f h w]."""
    like = abstract_part(WanDiT, config)
    model = assembled(TRANSFORMER, initial_transformer(config, 0, seen), like)
    attn = jax.tree.map(lambda x: x[0], model.layers).attn
    table = rotary_table(GRID, 32)
    x = jax.random.normal(jax.random.key(0), (1, 320, 160))
    query, key = rotate(attn.queries(x), table), rotate(attn.keys(x)[0], table)
    logits = jnp.einsum("bnad,bmad->anm", query, key) * 32**-0.5
    return np.asarray(jax.nn.softmax(logits)).reshape(5, *GRID, *GRID)[:, *PLACE]


@pytest.fixture(scope="module")
def config(recipe):
    return replace(recipe.transformer, heads=5, head_width=32, dtype="float32")


@pytest.fixture(scope="module")
def weights(config):
    return first_attention(config, None)


@pytest.mark.parametrize("head", range(3))
def test_a_head_keeps_to_its_place_along_its_axes_only(config, weights, head):
    here = weights[head]
    for axis, (place, on) in enumerate(zip(PLACE, looks(config)[head], strict=True)):
        others = tuple(i for i in range(3) if i != axis)
        along = here.sum(axis=others)
        even = 1 / GRID[axis]
        if on is None:
            assert along.max() < 2 * even
        else:
            assert along.argmax() == place and along[place] > 3 * even


def test_the_other_heads_look_everywhere(weights):
    assert weights[3:].max() < 0.1


@pytest.mark.parametrize("head", range(len(SIDES)))
def test_heads_look_to_all_sides(config, head):
    along = first_attention(config, sides(config))[head].sum(axis=0)
    asked = tuple(p + on for p, on in zip(PLACE[1:], SIDES[head][1:], strict=True))
    assert np.unravel_index(along.argmax(), along.shape) == asked
    assert along[asked] > 3 / along.size


def test_the_smallest_models_start_too(recipe):
    config = recipe.transformer
    queries, keys = constants(config, sides(config))
    assert queries.shape == keys.shape == (config.width,)
    params = initial_transformer(config, 0)
    assert all(bool(jnp.isfinite(x).all()) for x in params.values())
