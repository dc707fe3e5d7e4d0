"""Naming targets: numbers of attributes, unknown ones, and the loss's value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.training.naming import SIZES, initial_namers, labels, misnamed
from chorus_jax.training.world.attributes import Attributes

STAR = Attributes("red", "star", None, "up", "gray")
RING = Attributes("pink", "ring", "large", "grows", "checkered")


def test_labels_are_numbers_of_values_where_one_object_is_asked_for():
    found = labels([(STAR,), (RING,), (STAR, RING), ()])
    assert found.tolist() == [
        [0, 3, -1, 2, 0],
        [5, 4, 1, 5, 5],
        [-1] * 5,
        [-1] * 5,
    ]


def test_before_training_every_value_is_as_likely():
    params = initial_namers(text=4)
    tokens = jax.random.normal(jax.random.key(0), (2, 3, 4))
    wanted = jnp.asarray(labels([(STAR,), (RING,)]))
    counts = [*SIZES, *SIZES]
    del counts[2]  # the star's size is unsaid
    want = np.log(counts).mean()
    assert misnamed(params, "text", tokens, None, wanted) == pytest.approx(want)


def test_what_is_unknown_costs_nothing():
    params = initial_namers(text=4)
    tokens = jnp.ones((2, 3, 4))
    assert misnamed(params, "text", tokens, None, jnp.full((2, 5), -1)) == 0


def test_masked_tokens_have_no_part():
    key = jax.random.key(0)
    params = {
        name: jax.random.normal(key, x.shape)
        for name, x in initial_namers(text=4).items()
    }
    tokens = jax.random.normal(key, (1, 3, 4))
    mask = jnp.array([[True, True, False]])
    wanted = jnp.asarray(labels([(RING,)]))
    ours = misnamed(params, "text", tokens, mask, wanted)
    other = misnamed(params, "text", tokens.at[:, 2].set(9.0), mask, wanted)
    assert ours == other
    np.testing.assert_allclose(
        ours, misnamed(params, "text", tokens[:, :2], None, wanted), rtol=1e-5
    )
