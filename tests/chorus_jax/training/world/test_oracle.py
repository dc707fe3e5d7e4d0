"""The oracle: right on what the world draws, also blurred and noisy, else unclear."""

import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.media.filters import low_pass
from chorus_jax.training.world.attributes import VALUES, Attributes, combinations
from chorus_jax.training.world.examples import training_pair
from chorus_jax.training.world.oracle import read, read_all, render_back
from chorus_jax.training.world.placing import place
from chorus_jax.training.world.reading import UNCLEAR
from chorus_jax.training.world.render import render
from chorus_jax.training.world.scene import ObjectSizes, World

STAR = Attributes("purple", "star", "large", "right", "striped")


def as_floats(video):
    return video.astype(np.float32) / np.float32(127.5) - 1


def blurred(video, sigma=0.7):
    planes = np.ascontiguousarray(as_floats(video).transpose(0, 3, 1, 2))
    return low_pass(planes, sigma).transpose(0, 2, 3, 1)


def noisy(video, sigma=0.03):
    noise = np.random.default_rng(0).standard_normal(video.shape, np.float32)
    return as_floats(video) + np.float32(2 * sigma) * noise


WAYS = {"clean": lambda video: video, "blurred": blurred, "noisy": noisy}


def share_right(pool, seed, way):
    """Share of the videos on which all attributes are read rightly."""
    right = [
        all(read(way(render(x, seed + i))).agrees(x).values())
        for i, x in enumerate(pool)
    ]
    return np.mean(right)


@pytest.mark.parametrize("way", WAYS)
def test_reads_what_is_rendered(way):
    assert share_right(combinations()[::29], 0, WAYS[way]) == 1


def test_reads_objects_of_other_sizes():
    sizes = ObjectSizes(0.17, 0.23, (0.2, 0.3))
    for seed, attributes in enumerate(combinations()[::29]):
        video = render(attributes, seed, World(sizes=sizes))
        assert all(read(video, sizes).agrees(attributes).values())


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_reads_thousands(way):
    right = share_right(combinations() * 2, 10_000, WAYS[way])
    assert right == 1 if way == "clean" else right >= 0.99


@pytest.mark.parametrize("world", [World(48, 48, 5), World(64, 96, 9)], ids=str)
def test_reads_other_sizes(world):
    for seed, attributes in enumerate(combinations()[::101]):
        assert all(read(render(attributes, seed, world)).agrees(attributes).values())


def test_reads_two_objects():
    for seed in range(25):
        example = training_pair(seed, World())
        readings = {r.colour: r for r in read_all(example.video, 2)}
        for asked in example.prompt.attributes:
            assert all(readings[asked.colour].agrees(asked).values())


def test_fits_position_size_and_speed():
    drawn = place(STAR, np.random.default_rng(5), World()).things[0]
    reading = read(render(STAR, 5))
    for fitted in (reading.seen, reading.thing.path):
        np.testing.assert_allclose(fitted.x, drawn.path.x, atol=0.25)
        np.testing.assert_allclose(fitted.y, drawn.path.y, atol=0.25)
        np.testing.assert_allclose(fitted.radius, drawn.path.radius, atol=0.2)
    assert reading.thing.tilt == pytest.approx(drawn.tilt, abs=0.06)
    assert reading.unsteady < 0.01
    assert reading.nearest == STAR
    assert min(reading.confidence.values()) > 0.3


def test_takes_arrays_of_jax():
    video = jnp.asarray(as_floats(render(STAR, 0)), jnp.bfloat16)
    assert all(read(video).agrees(STAR).values())


def test_draws_back_what_it_reads():
    video = render(STAR, 0)
    back = render_back(World(), read(video)).transpose(0, 2, 3, 1)
    assert abs(back - video / 255).mean() < 0.05


@pytest.mark.parametrize("value", [0, 90, 255])
def test_an_empty_video_is_unclear(value):
    reading = read(np.full((17, 64, 64, 3), value, np.uint8))
    assert reading.thing is None and reading.nearest is None
    for name in set(VALUES) - {"background"}:
        assert getattr(reading, name) == UNCLEAR and reading.confidence[name] == 0


def test_noise_is_unclear():
    noise = np.random.default_rng(0).uniform(-1, 1, (17, 64, 64, 3))
    reading = read(noise.astype(np.float32))
    assert {reading.shape, reading.motion} == {UNCLEAR}


def test_a_mixed_colour_or_ground_is_unclear():
    a = Attributes("red", "circle", "large", "still", "black")
    b = Attributes("green", "circle", "large", "still", "white")
    mixed = (as_floats(render(a, 0)) + as_floats(render(b, 0))) / 2
    assert read(mixed).background == UNCLEAR


def test_a_path_without_a_plan_is_unclear():
    frames = np.random.default_rng(0).permutation(17)
    reading = read(render(STAR, 0)[frames])
    assert reading.motion == UNCLEAR
    assert reading.shape == "star"


def test_a_diagonal_way_is_unclear():
    up = Attributes("purple", "star", "small", "up", "gray")
    video = render(up, 0)
    steps = range(17)
    slanted = np.stack([np.roll(video[i], i - 8, axis=1) for i in steps])
    assert read(slanted).motion == UNCLEAR


def test_it_reads_one_object_or_two():
    with pytest.raises(ValueError, match="one object or two, not 3"):
        read_all(render(STAR, 0), 3)
