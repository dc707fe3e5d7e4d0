"""A pass over a region leaves its keys in the held ones, layer by layer."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from chorus_jax import checkpoints
from chorus_jax.families.forward import AllTokens, Held, TileTokens, evaluate
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.nets.tokens import Tiling
from tests.chorus_jax.denoise.tiny import CONFIG, GRID, TILE, at, conditions, noise

TILING, SOME = Tiling(GRID, TILE), jnp.array([[0, 3]])


def region(model, given, keys):
    """The pass of two tiles over held keys."""
    patches = jnp.ones((1, 2, TILING.size, 16))
    tokens = TileTokens(TILING, SOME, keys, jnp.zeros(2 * TILING.size))
    return model.forward(given, patches, at(1), tokens=tokens)


def held_by(model, given):
    """The keys that a pass of all tokens leaves."""
    tokens = AllTokens(TILING)
    return evaluate(model.forward(given, noise(), at(0), tokens=tokens))[1].keys


def test_layers_in_parts_leave_the_keys_of_all_together():
    model = jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()

    @jax.jit
    def both(model, given):
        keys = held_by(model, given)
        forward = region(model, given, keys)
        middle, front = forward.blocks(forward.stem(), 0, 1)
        tokens, back = forward.blocks(middle, 1)
        parts = forward.head(tokens), forward.hold(Held(keys), front, back)
        return keys, evaluate(forward, Held(keys)), parts

    before, (velocity, whole), (again, parts) = both(model, conditions(model))
    np.testing.assert_allclose(again, velocity, rtol=2e-5, atol=2e-6)
    for old, one, other in zip(*map(jax.tree.leaves, (before, whole, parts))):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)
        moved = (np.asarray(one) != old).any(axis=(0, 1, 3, 4))
        assert np.flatnonzero(moved).tolist() == SOME[0].tolist()


def test_fresh_keys_need_memory_of_a_layer_not_of_all():
    def temporary(depth):
        model = checkpoints.abstract(WanDiT, replace(CONFIG, depth=depth))
        given = jax.eval_shape(conditions, model)
        keys = jax.eval_shape(held_by, model, given)
        step = lambda keys, model, given: evaluate(
            region(model, given, keys), Held(keys)
        )
        program = jax.jit(step, donate_argnums=0).lower(keys, model, given).compile()
        size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(keys))
        return program.memory_analysis().temp_size_in_bytes, size / depth

    (few, layer), (many, _) = temporary(4), temporary(36)
    assert many - few < 4 * layer
