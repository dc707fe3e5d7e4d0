"""Rendered videos: determinism, colours, anti-aliasing, variety."""

import numpy as np
import pytest

from chorus_jax.media.pixels import to_planes
from chorus_jax.training.world.attributes import VALUES, Attributes
from chorus_jax.training.world.palette import COLOURS, GROUNDS, ground_planes
from chorus_jax.training.world.placing import place
from chorus_jax.training.world.render import coverage, paint, render
from chorus_jax.training.world.scene import World

RED_CIRCLE = Attributes("red", "circle", "large", "left", "white")
BLUE_RING = Attributes("blue", "ring", None, "up", "white")


def test_same_seed_same_video():
    video = render(RED_CIRCLE, 7)
    assert video.shape == (17, 64, 64, 3) and video.dtype == np.uint8
    np.testing.assert_array_equal(video, render(RED_CIRCLE, 7))
    assert (video != render(RED_CIRCLE, 8)).mean() > 0.5


def test_sizes_are_parameters():
    assert render(RED_CIRCLE, 0, World(48, 80, 9)).shape == (9, 48, 80, 3)


def test_a_pair_shows_both_colours():
    frame = render(RED_CIRCLE.unsized(), 3, second=BLUE_RING)[0] / 255
    for colour in ("red", "blue"):
        off = abs(frame - COLOURS[colour]).sum(axis=-1)
        assert (off < 0.05).sum() > 50


@pytest.mark.parametrize("shape", VALUES["shape"])
def test_coverage_is_an_area(shape):
    attributes = Attributes("red", shape, "large", "right", "gray")
    (thing,) = place(attributes, np.random.default_rng(0), World()).things
    area = coverage(thing, World()).sum(axis=(1, 2))
    np.testing.assert_allclose(area, np.pi * thing.path.radius**2, rtol=0.02)


def test_an_object_is_flat_and_its_edge_soft():
    scene = place(RED_CIRCLE, np.random.default_rng(0), World())
    planes, cover = paint(scene), coverage(scene.things[0], World())
    inside = planes.transpose(0, 2, 3, 1)[cover == 1]
    np.testing.assert_allclose(inside, np.broadcast_to(COLOURS["red"], inside.shape))
    soft = (cover > 0) & (cover < 1)
    assert 0.5 < soft[0].sum() / (2 * np.pi * scene.things[0].path.radius[0]) < 2


def test_every_colour_is_far_from_every_other_and_from_every_ground():
    colours = np.array(list(COLOURS.values()))
    between = np.linalg.norm(colours[:, None] - colours, axis=-1)
    assert (between + np.eye(len(colours)) > 0.4).all()
    for background in GROUNDS:
        ground = ground_planes(background, (0.0, 0.0), 64, 64).reshape(3, -1).T
        assert np.linalg.norm(ground[:, None] - colours, axis=-1).min() > 0.35


def test_planes_of_bytes_and_of_floats_are_the_same():
    video = render(RED_CIRCLE, 0)
    floats = video.astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(to_planes(video), to_planes(floats), atol=1e-6)


def test_what_is_no_video_is_refused():
    with pytest.raises(ValueError, match=r"at least 5 frames, got shape \(3, 8, 8, 3"):
        to_planes(np.zeros((3, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="got int64, convert first"):
        to_planes(np.zeros((5, 8, 8, 3), np.int64))
    with pytest.raises(ValueError, match="NaN or infinity"):
        to_planes(np.full((5, 8, 8, 3), np.nan, np.float32))
