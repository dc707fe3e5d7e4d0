"""Choices inside a program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.nets.control import select, when, zeros


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


def test_zeros_have_the_shapes_and_types():
    shapes = jax.eval_shape(lambda: (jnp.ones((2, 3), jnp.bfloat16), jnp.arange(4)))
    first, second = zeros(shapes)
    assert (first.shape, first.dtype) == ((2, 3), jnp.bfloat16)
    assert second.tolist() == [0] * 4


def test_nothing_is_computed_ahead_of_the_choice():
    """Though it depends on nothing that changes: XLA would move it out of the loop."""
    x = jnp.ones((8, 8))

    @jax.jit
    def run(wanted, x):
        return when(wanted, lambda _: x @ x, jnp.zeros((8, 8)))

    compiled = run.lower(jnp.array(False), x).compile().as_text()
    entry = compiled[compiled.index("ENTRY") :]
    assert "while" in entry
    assert "dot" not in entry and "matmul" not in entry
    np.testing.assert_array_equal(run(jnp.array(True), x), x @ x)
    np.testing.assert_array_equal(run(jnp.array(False), x), 0 * x)
