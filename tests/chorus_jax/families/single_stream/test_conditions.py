"""Conditions of passes: rows of branches, gains, modulation per step."""

import jax.numpy as jnp
import numpy as np

from chorus_jax.families.forward import TextGains
from chorus_jax.families.single_stream.conditions import (
    StreamConditions,
    Times,
    padded,
)
from chorus_jax.nets.token_attention import Context, Keys


def given(guidance):
    """Conditions of two requests, with text of four tokens."""
    rows = 4 if guidance else 2
    keys = Keys(*[jnp.zeros((1, rows, 4, 2, 3))] * 2)
    times = Times(jnp.arange(36.0).reshape(3, 6, 2), jnp.arange(6.0).reshape(3, 2))
    scales = jnp.full(2, 5.0) if guidance else None
    return StreamConditions(
        Context(keys, jnp.zeros((rows, 4))), times, jnp.zeros((2, 8, 6)), scales
    )


def test_each_row_has_the_modulation_of_its_own_step():
    times = given(True).times.at(jnp.array([2, 0, 2, 0]))
    np.testing.assert_array_equal(times.head, [[4, 5], [0, 1], [4, 5], [0, 1]])
    assert times.blocks.shape == (4, 6, 2) and times.blocks[1].max() == 11


def test_gains_and_words_are_of_the_prompts_branch():
    gains = TextGains(jnp.full((2, 4), 3.0), jnp.full(2, 2.0))
    words = jnp.ones((2, 4))
    for guided, rest in ((True, 2), (False, 0)):
        found = given(guided).amplified(gains, words)
        assert found.gains.key.tolist() == [[3.0] * 4] * 2 + [[1.0] * 4] * rest
        assert found.gains.output.tolist() == [2.0] * 2 + [1.0] * rest
        assert found.watched.tolist() == [[1.0] * 4] * 2 + [[0.0] * 4] * rest
    plain = given(True).amplified(None, None)
    assert plain.gains is None and plain.watched is None


def test_rows_of_other_branches_are_of_one_value():
    np.testing.assert_array_equal(padded(jnp.array([7.0]), 3, 1.0), [7, 1, 1])
