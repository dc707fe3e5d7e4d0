"""ERTACache's factors belong to the velocities that they were measured for."""

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.intra_request.erta import ERTACache
from chorus_jax.schedulers.flow import listed

SCHEDULE = listed(tuple(np.linspace(1, 0.1, 9).tolist()), 1.0)
CACHE = ERTACache((3, 5, 6), (0.9, 0.8, 0.7), SCHEDULE.steps)


@pytest.mark.parametrize(
    ("past", "step", "want"),
    [
        *((2, 3, 0.9), (4, 5, 0.8), (4, 6, 0.7)),
        # A run that begins at step 5 computes it, for which no factor was measured.
        (5, 6, 1.0),
    ],
)
def test_a_factor_is_used_only_after_the_step_it_was_measured_for(past, step, want):
    made = CACHE.weights(jnp.array([[past]]), jnp.array([step]), SCHEDULE)
    np.testing.assert_allclose(made, [[want]], rtol=1e-6)
