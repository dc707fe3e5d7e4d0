"""The weight of errors near an object: where, how much, at which noise levels."""

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.training.nearby import SEEN, UNSEEN, near_weight
from chorus_jax.training.structure import structure
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.placing import place
from chorus_jax.training.world.render import coverage
from chorus_jax.training.world.scene import World

GRID = (5, 16, 16)


@pytest.fixture(scope="module")
def scene():
    asked = Attributes("red", "triangle", "large", "left", "gray")
    return place(asked, np.random.default_rng(0), World())


def weight(scene, *sigmas):
    shown = jnp.asarray(structure(scene, GRID))
    batch = jnp.broadcast_to(shown, (len(sigmas), *shown.shape))
    return np.asarray(near_weight(batch, jnp.array(sigmas), 2.0))[..., 0]


def test_it_is_full_on_the_object_and_one_far_from_it(scene):
    [found] = weight(scene, SEEN - 0.1)
    # The first latent frame is the first frame.
    covered = coverage(scene.things[0], scene.world)[0]
    object_ = covered.reshape(16, 4, 16, 4).mean(axis=(1, 3))
    assert (found[0][object_ > 0] > 2).all()
    assert 0.5 < (found == 1).mean() < 0.95


def test_it_falls_with_noise(scene):
    most, half, none = weight(scene, SEEN, (SEEN + UNSEEN) / 2, UNSEEN)
    assert (none == 1).all()
    assert most.max() == pytest.approx(3, abs=1e-3)
    assert half.max() == pytest.approx(2, abs=1e-3)
