"""Coupled noise by jax: the same distribution as numpy's, and normal over all clips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from chorus_jax.training import coupling
from chorus_jax.training.device.noise import components
from chorus_jax.training.world.attributes import combinations
from chorus_jax.training.world.chances import chances
from chorus_jax.training.world.placing import place
from chorus_jax.training.world.scene import World

GRID = (16, 16)


@pytest.fixture(scope="module")
def rows():
    pool = combinations() * 2
    drawn = [place(x, np.random.default_rng(i), World()) for i, x in enumerate(pool)]
    return np.stack([chances(scene).flat() for scene in drawn])


@pytest.fixture(scope="module")
def ours(rows):
    made = jax.jit(components, static_argnums=2)(
        jax.random.key(0), jnp.asarray(rows), GRID
    )
    return np.asarray(made)


def test_what_is_settled_is_the_same(rows, ours):
    theirs = coupling.components(rows, GRID, np.random.default_rng(0))
    y, x = (np.clip((rows[:, i] * 16).astype(int), 0, 15) for i in (5, 4))
    number = np.arange(len(rows))
    for k in (1, 2, 4, 5, 6, 7):
        a, b = ours[number, y, x, k], theirs[number, y, x, k]
        column = rows[:, 3 + k] if k > 3 else rows[:, 0]
        known = ~np.isnan(column)
        np.testing.assert_allclose(a[known], b[known], atol=0.02)


def test_it_is_normal_over_all_clips(ours):
    assert np.isfinite(ours).all()
    for k in range(coupling.COMPONENTS):
        values = ours[::7, ..., k].reshape(-1)[::11]
        assert stats.kstest(values, "norm").pvalue > 1e-4


def test_the_middle_of_the_way_rings_first(rows, ours):
    # The largest component over the chance of each place is where the middle is.
    waiting = -stats.norm.logcdf(ours[..., 0])
    for number in range(0, len(rows), 40):
        least, most, at = rows[number, :6].reshape(3, 2)
        edges = np.arange(17)[:, None] / 16
        size = np.diff(np.clip(edges, least, most), axis=0)
        chance = np.outer(size[:, 1], size[:, 0])
        time = np.where(chance > 0, waiting[number] / np.maximum(chance, 1e-9), np.inf)
        row, column = np.unravel_index(time.argmin(), GRID)
        np.testing.assert_allclose([column, row], np.minimum(at * 16, 15), atol=1.01)
