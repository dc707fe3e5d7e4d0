"""Random scenes: they show their attributes, and stay within the frame."""

import dataclasses

import numpy as np
import pytest

from chorus_jax.training.world.attributes import Attributes, combinations
from chorus_jax.training.world.placing import TRAVEL, WAYS, place
from chorus_jax.training.world.scene import ObjectSizes, World
from chorus_jax.training.world.shapes import REACH

RED_CIRCLE = Attributes("red", "circle", "small", "left", "gray")
LARGE = World(sizes=ObjectSizes(0.17, 0.23, (0.2, 0.3)))
BLUE_STAR = Attributes("blue", "star", None, "grows", "gray")


@pytest.mark.parametrize("world", [World(), World(48, 96, 9), LARGE], ids=str)
def test_objects_stay_within_the_frame(world):
    for seed, attributes in enumerate(combinations()[::5]):
        (thing,) = place(attributes, np.random.default_rng(seed), world).things
        path, reach = thing.path, thing.path.radius * REACH[thing.shape]
        assert (path.x - reach > 0).all() and (path.x + reach < world.width).all()
        assert (path.y - reach > 0).all() and (path.y + reach < world.height).all()


@pytest.mark.parametrize("world", [World(), LARGE], ids=str)
def test_motions(world):
    for seed, attributes in enumerate(combinations()[::5]):
        (thing,) = place(attributes, np.random.default_rng(seed), world).things
        path = thing.path
        moved = np.array([path.x[-1] - path.x[0], path.y[-1] - path.y[0]])
        forwards = moved @ WAYS.get(attributes.motion, (0, 0))
        if attributes.motion in WAYS:
            assert forwards >= TRAVEL[0] * world.unit - 1e-3
            assert np.hypot(*moved) <= 1.01 * forwards
        else:
            assert not moved.any()
        grown = path.radius[-1] / path.radius[0]
        least = (1 + world.sizes.growth[0]) / (1 - world.sizes.growth[0])
        assert grown > 0.99 * least if attributes.motion == "grows" else grown == 1
        mean = path.radius.mean() / world.unit
        assert mean == pytest.approx(world.sizes.radius(attributes.size), rel=0.06)


def test_an_unsaid_size_is_either():
    rng, world = np.random.default_rng(0), World()
    things = [place(RED_CIRCLE.unsized(), rng, world).things[0] for _ in range(40)]
    large = [thing.path.radius[0] > 0.2 * world.unit for thing in things]
    assert 8 < sum(large) < 32


def test_two_objects_never_touch():
    for seed in range(20):
        scene = place(RED_CIRCLE, np.random.default_rng(seed), World(), BLUE_STAR)
        a, b = scene.things
        reach = a.path.radius * REACH[a.shape] + b.path.radius * REACH[b.shape]
        assert (np.hypot(a.path.x - b.path.x, a.path.y - b.path.y) > reach).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "differ in colour"),
        ({"background": "white"}, "share one background"),
        ({"size": "large"}, "both small"),
    ],
)
def test_impossible_pairs_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        other = dataclasses.replace(BLUE_STAR, **changes)
        place(RED_CIRCLE, np.random.default_rng(0), World(), other)


def test_a_world_too_small_is_refused():
    with pytest.raises(ValueError, match="at least 48x48 pixels and 5 frames"):
        World(32, 64, 17)
