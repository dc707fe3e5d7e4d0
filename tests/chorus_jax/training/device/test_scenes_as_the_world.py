"""The world drawn by jax is the world drawn by numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.training.device import paint, targets, texture
from chorus_jax.training.device.scenes import random_scenes, stacked
from chorus_jax.training.naming import labels
from chorus_jax.training.structure import structure
from chorus_jax.training.world import render
from chorus_jax.training.world.attributes import VALUES, combinations
from chorus_jax.training.world.chances import chances
from chorus_jax.training.world.placing import place
from chorus_jax.training.world.scene import ObjectSizes, World
from chorus_jax.training.world.texture import CONTRAST, band
from chorus_jax.training.world.texture import texture as numpy_texture

WORLD = World(sizes=ObjectSizes(0.17, 0.23, (0.2, 0.3)))
GRID = (5, 16, 16)


@pytest.fixture(scope="module")
def scenes():
    pool = combinations()[::97]
    return [place(x, np.random.default_rng(i), WORLD) for i, x in enumerate(pool)]


@pytest.fixture(scope="module")
def drawn():
    pool = [(x.unsized() if i % 2 else x,) for i, x in enumerate(combinations())]
    asked = jnp.asarray(labels(pool))
    return asked, jax.jit(random_scenes, static_argnums=2)(
        jax.random.key(0), asked, WORLD
    )


def test_pictures_are_the_same(scenes):
    ours = jax.jit(paint.painted, static_argnums=1)(stacked(scenes), WORLD)
    theirs = np.stack([render.paint(scene) for scene in scenes])
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


def test_textures_are_the_same():
    waves = band(WORLD.height, WORLD.width)[0].size
    parts = [np.random.default_rng(i).standard_normal((3, waves), "f4") for i in (0, 1)]
    ours = texture.textures_of(jnp.asarray(np.stack(parts)), WORLD)
    theirs = [numpy_texture(np.random.default_rng(i), WORLD) for i in (0, 1)]
    np.testing.assert_allclose(ours, np.stack(theirs), atol=1e-5)
    new = texture.textures(jax.random.key(0), 2, WORLD)
    rms = jnp.sqrt(jnp.square(new).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(rms, CONTRAST, rtol=1e-4)


def test_films_are_bytes_of_both(scenes):
    grain = texture.textures(jax.random.key(0), len(scenes), WORLD)
    film = paint.filmed(stacked(scenes), grain, WORLD)
    assert film.shape == (len(scenes), 17, 64, 64, 3) and film.dtype == jnp.uint8
    theirs = render.to_pixels(render.paint(scenes[0], np.asarray(grain[0])))
    assert abs(np.asarray(film[0], int) - theirs).max() <= 1


def test_targets_are_the_same(scenes):
    ours = jax.jit(targets.shown, static_argnums=(1, 2))(stacked(scenes), WORLD, GRID)
    theirs = np.stack([structure(scene, GRID) for scene in scenes])
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_chances_are_the_same(scenes):
    ours = np.asarray(targets.decided(stacked(scenes), WORLD))
    theirs = np.stack([chances(scene).flat() for scene in scenes])
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_random_scenes_show_what_is_asked(drawn):
    asked, scenes = drawn
    for column, name in ((0, "colour"), (1, "shape"), (4, "background")):
        np.testing.assert_array_equal(getattr(scenes, name), asked[:, column])
    found = np.asarray(targets.decided(scenes, WORLD))
    said = np.asarray(asked[:, 2])
    np.testing.assert_array_equal(found[said >= 0, 6], said[said >= 0])
    assert found[said < 0, 6].mean() == pytest.approx(0.5, abs=0.1)
    still = np.asarray(asked[:, 3]) == VALUES["motion"].index("still")
    np.testing.assert_array_equal(np.isnan(found[:, 9]), still)


def test_chance_is_even_in_random_scenes(drawn):
    found = np.asarray(targets.decided(drawn[1], WORLD))
    least, most, middle = found[:, :2], found[:, 2:4], found[:, 4:6]
    within = (middle - least) / (most - least)
    for quantiles in (*within[(most > least + 0.02).all(axis=1)].T, *found[:, 7:].T):
        known = quantiles[~np.isnan(quantiles)]
        assert known.mean() == pytest.approx(0.5, abs=0.05)
        assert known.std() == pytest.approx(12**-0.5, abs=0.03)
