"""Choices inside a program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.nets.control import PerLayer, select, when, zeros


@pytest.mark.parametrize("wanted", [False, True])
def test_a_change_is_made_if_it_is_wanted(wanted):
    change = lambda x: {"a": x["a"] + 1, "b": -x["b"]}
    value = {"a": jnp.arange(3), "b": jnp.float32(2)}
    found = jax.jit(lambda on: when(on, change, value))(wanted)
    want = change(value) if wanted else value
    jax.tree.map(np.testing.assert_array_equal, found, want)


def test_what_is_not_wanted_is_not_computed():
    """A loop of no turn: what is not a number does not get through."""
    value = jnp.zeros(2)
    found = jax.jit(lambda on: when(on, lambda x: x / 0, value))(False)
    np.testing.assert_array_equal(found, value)


def test_rows_are_selected_in_all_branches():
    on = jnp.array([True, False])
    new, old = jnp.ones((4, 3)), jnp.zeros((4, 3))
    found = select(on, {"x": new, "y": new[:2, 0]}, {"x": old, "y": old[:2, 0]})
    np.testing.assert_array_equal(found["x"][:, 0], [1, 0, 1, 0])
    np.testing.assert_array_equal(found["y"], [1, 0])


def test_rows_of_arrays_per_layer_are_on_the_second_axis():
    on = jnp.array([True, False])
    new, old = PerLayer((jnp.ones((3, 4, 2)),)), PerLayer((jnp.zeros((3, 4, 2)),))
    found = select(on, (new, jnp.ones(2)), (old, jnp.zeros(2)))
    np.testing.assert_array_equal(found[0].arrays[0][:, :, 0], [[1, 0, 1, 0]] * 3)
    np.testing.assert_array_equal(found[1], [1, 0])


def test_zeros_have_the_shapes_and_types():
    shapes = jax.eval_shape(lambda: (jnp.ones((2, 3), jnp.bfloat16), jnp.arange(4)))
    first, second = zeros(shapes)
    assert (first.shape, first.dtype) == ((2, 3), jnp.bfloat16)
    assert second.tolist() == [0] * 4


def test_what_is_read_is_not_computed_before_it_is_wanted():
    """A product of arrays that the loop does not change stays in the loop: otherwise
    the compiler computes it in every turn of the loop around it."""
    weights, tokens = jnp.ones((64, 64)), jnp.ones((32, 64))

    def step(_, total):
        multiply = lambda total, tokens: total + tokens @ weights
        return when(total[0, 0] > 2, multiply, total, 2.0 * tokens)

    def steps(weights, tokens):
        return jax.lax.fori_loop(0, 5, step, tokens)

    text = jax.jit(steps).lower(weights, tokens).compile().as_text()
    blocks = text.split("\n\n")
    [multiplying] = [block for block in blocks if " dot(" in block]
    # The loop of the steps holds the loop of one turn or none; this is the inner one.
    assert " while(" not in multiplying and "ENTRY" not in multiplying
