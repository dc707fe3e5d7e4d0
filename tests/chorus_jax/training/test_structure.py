"""Structure targets of a clip, and their prediction from tokens."""

import jax
import jax.numpy as jnp
import numpy as np

from chorus_jax.nets.tokens import to_patches
from chorus_jax.training.data import Clips
from chorus_jax.training.structure import (
    CHANNELS,
    CONTRAST,
    NEAR,
    PLACES,
    initial_reader,
    places,
    read,
    structure,
)
from chorus_jax.training.world.scene import Ground, Path, Scene, Thing, World

WORLD = World(48, 64, 9)
GRID = (3, 12, 16)


def test_it_is_the_clip_made_smaller_less_its_texture():
    clip = Clips(WORLD, pairs=0.0, seed=1)(0)
    shown = structure(clip.scene, GRID)
    assert shown.shape == (*GRID, CHANNELS)
    planes = clip.video.astype(np.float64) / 255
    first = planes[0].reshape(12, 2, 2, 16, 2, 2, 3).mean(axis=(2, 5))
    last = planes[5:9].reshape(4, 12, 2, 2, 16, 2, 2, 3).mean(axis=(0, 3, 6))
    for ours, video in ((shown[0], first), (shown[2], last)):
        cells = ours[..., :-PLACES].reshape(12, 16, 3, 2, 2).transpose(0, 3, 1, 4, 2)
        away = np.abs(cells / CONTRAST + 0.5 - video)
        assert away.mean() < 0.03 and np.median(away) > 0  # the texture, averaged


def test_it_has_the_objects_place_and_colour():
    clips = Clips(WORLD, pairs=0.0, seed=1)
    a, b = (structure(clips(i).scene, GRID) for i in (0, 1))
    assert np.abs(a - b).max() > 1


def test_every_latent_tells_the_way_to_the_object():
    frames = np.arange(9, dtype=np.float32)
    path = Path(30 + frames, 0 * frames + 20, 0 * frames + 8)
    scene = Scene(WORLD, Ground("gray"), (Thing("red", "circle", 0.0, path),))
    found = places(scene, GRID)
    assert found.shape == (*GRID, PLACES)
    # The last frame stands for x = 35 to 38; latent (4, 8) has its middle at (18, 34).
    x, y, radius = found[2, 4, 8]
    near = NEAR * 48
    np.testing.assert_allclose(x, 2 * np.tanh((36.5 - 34) / near), rtol=1e-5)
    np.testing.assert_allclose(y, 2 * np.tanh((20 - 18) / near), rtol=1e-5)
    np.testing.assert_allclose(radius, 16 * 8 / 48 - 2.5, rtol=1e-5)
    np.testing.assert_array_equal(structure(scene, GRID)[..., -PLACES:], found)


def test_the_reader_is_linear_in_normalised_tokens():
    params = initial_reader(8, (1, 2, 2))
    tokens = jax.random.normal(jax.random.key(0), (2, 5, 8))
    assert not read(params, tokens).any()
    kernel = jnp.eye(8, 4 * CHANNELS)
    params = {"structure.kernel": kernel, "structure.bias": params["structure.bias"]}
    found = read(params, 7 * tokens + 3)
    np.testing.assert_allclose(found, read(params, tokens), atol=1e-4)
    np.testing.assert_allclose(np.square(found).sum(-1), 8, rtol=1e-3)


def test_patches_of_it_are_as_large_as_what_is_read():
    shown = jnp.zeros((2, 5, 4, 4, CHANNELS))
    assert to_patches(shown, (5, 1, 1)).shape == (2, 16, 5 * CHANNELS)
