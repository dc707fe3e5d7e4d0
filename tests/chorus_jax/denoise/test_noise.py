"""Noise of runs by seed and step, independent of the batch."""

import jax.numpy as jnp
import numpy as np

from chorus_jax.denoise.noise import initial, of_step
from chorus_jax.families.forward import Geometry

TWO = Geometry(
    (("video", (2, 4, 4, 3)), ("sound", (6, 5))), (2, 2, 2), (1, 2, 2), (1, 2, 2)
)


def test_noise_of_a_step_is_of_its_seed_and_step_alone():
    many = of_step(jnp.array([7, 3, 7]), jnp.array([1, 1, 2]), TWO)
    alone = of_step(jnp.array([7]), jnp.array([2]), TWO)
    for name, rows in many.items():
        np.testing.assert_array_equal(rows[2], alone[name][0])
        assert np.abs(rows[0] - rows[1]).min() > 0  # another seed
        assert np.abs(rows[0] - rows[2]).min() > 0  # another step
    first = initial(jnp.array([7]), TWO)
    assert np.abs(first["video"] - alone["video"]).min() > 0
