"""Coupled noise is normal over all clips, and encodes its clip's chances."""

import jax
import numpy as np
import pytest
from scipy.stats import kstest, norm

from chorus_jax.training.coupling import COMPONENTS, components, coupled, directions
from chorus_jax.training.data import Clips
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.chances import COUNT, LARGE, Chances, chances
from chorus_jax.training.world.placing import place
from chorus_jax.training.world.scene import World

WORLD = World()
GRID = (16, 16)


@pytest.fixture(scope="module")
def drawn():
    """Chances of 1500 clips that say no size."""
    rng = np.random.default_rng(0)
    asked = [
        Attributes("red", shape, None, motion, "gray")
        for shape in ("star", "circle", "ring")
        for motion in ("still", "left", "up", "grows")
    ]
    scenes = [place(asked[i % len(asked)], rng, WORLD) for i in range(1500)]
    return np.stack([chances(each).flat() for each in scenes])


@pytest.fixture(scope="module")
def made(drawn):
    return components(drawn, GRID, np.random.default_rng(1))


def test_directions_are_orthonormal_and_nothing_that_lasts_is_along_them():
    along = directions(5, 8)
    flattened = along.reshape(COMPONENTS, -1)
    np.testing.assert_allclose(flattened @ flattened.T, np.eye(COMPONENTS), atol=1e-6)
    np.testing.assert_allclose(along.sum(axis=1), 0, atol=1e-6)
    assert not along[:, 0].any()
    assert len(directions(3, 4)) == 4 and len(directions(2, 4)) == 0


def test_what_chance_decides_is_even(drawn):
    middle = (drawn[:, 4:6] - drawn[:, 0:2]) / (drawn[:, 2:4] - drawn[:, 0:2])
    for quantiles in (*middle.T, *drawn[:, LARGE + 1 :].T):
        known = quantiles[~np.isnan(quantiles)]
        assert len(known) > 300 and kstest(known, "uniform").pvalue > 1e-4
    assert 0.45 < drawn[:, LARGE].mean() < 0.55


@pytest.mark.parametrize("component", range(COMPONENTS))
def test_noise_is_normal_over_all_clips(made, component):
    each = made[..., component]
    assert kstest(each[:, ::3, ::3].reshape(-1), "norm").pvalue > 1e-4
    # Also where objects mostly are, and where they never are.
    for row, column in ((8, 8), (8, 5), (0, 0)):
        assert kstest(each[:, row, column], "norm").pvalue > 1e-4
    neighbours = np.corrcoef(each[:, 8, 8], each[:, 8, 9])[0, 1]
    assert abs(neighbours) < 4 / 1500**0.5


def test_places_and_components_are_independent(made):
    flattened = made[:, 6:10, 6:10].reshape(len(made), -1)
    found = np.corrcoef(flattened.T) - np.eye(flattened.shape[1])
    assert np.abs(found).max() < 5 / len(made) ** 0.5


def test_the_object_is_where_the_noise_is_largest():
    rng = np.random.default_rng(2)
    scene = place(Attributes("red", "star", "small", "still", "gray"), rng, WORLD)
    path, found = scene.things[0].path, chances(scene)
    row, column = int(path.y[0] // 4), int(path.x[0] // 4)
    left, top = np.floor(found.least * 16).astype(int)
    right, bottom = np.ceil(found.most * 16).astype(int)
    hits = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        first = components(found.flat()[None], GRID, rng)[0, ..., 0]
        window = first[top:bottom, left:right]
        at = np.unravel_index(window.argmax(), window.shape)
        hits += (at[0] + top, at[1] + left) == (row, column)
    # At the window's edge, cells that are partly in it ring later than they seem to.
    assert hits >= 16


def test_the_first_token_tells_the_rest(drawn, made):
    index = next(i for i, row in enumerate(drawn) if not np.isnan(row).any())
    found, noise = Chances.of_row(drawn[index]), made[index]
    column, row = (min(int(at * 16), 15) for at in found.middle)
    told = norm.cdf(noise[row, column, 3:])
    expected = (found.radius, found.tilt, found.pace, found.sideways)
    np.testing.assert_allclose(told[1:], expected, atol=2e-3)
    assert (told[0] > 0.5) == (found.large == 1)


def test_noise_keeps_all_but_its_components(made):
    noise = jax.random.normal(jax.random.key(0), (3, 5, *GRID, 8))
    found = np.asarray(coupled(noise, jax.numpy.asarray(made[:3])))
    along = directions(5, 8)
    back = np.einsum("bfhwc,kfc->bhwk", found, along)
    np.testing.assert_allclose(back, made[:3], atol=1e-4)
    change = found - np.asarray(noise)
    rest = change - np.einsum(
        "bhwk,kfc->bfhwc", np.einsum("bfhwc,kfc->bhwk", change, along), along
    )
    np.testing.assert_allclose(rest, 0, atol=1e-4)


def test_two_objects_leave_their_noise_free():
    scene = Clips(WORLD, pairs=1.0, seed=0)(0).scene
    row = chances(scene).flat()
    assert row.shape == (COUNT,) and np.isnan(row).all()
    found = components(row[None], GRID, np.random.default_rng(0))
    free = np.random.default_rng(0).standard_normal(found.shape, np.float32)
    assert (found == free).all()
