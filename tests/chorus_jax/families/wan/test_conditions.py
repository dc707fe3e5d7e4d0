"""The padded text tail that Wan attends to."""

import jax.numpy as jnp
import numpy as np

from chorus_jax.families.wan.conditions import tail_bias


def test_tail_bias_is_the_worked_case():
    bias = tail_bias(jnp.array([3]), 5, 512)
    np.testing.assert_allclose(bias, [[0, 0, 0, np.log(509), -np.inf]], rtol=1e-6)
