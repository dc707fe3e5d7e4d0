"""Each defect of a video lowers the measure that should detect it."""

import numpy as np
import pytest

from chorus_jax.media.filters import low_pass
from chorus_jax.training.world.attributes import VALUES, Attributes, combinations
from chorus_jax.training.world.measures import detail, flicker, render_db, smoothness
from chorus_jax.training.world.oracle import read
from chorus_jax.training.world.render import render

SEEDS = range(6)
MOVER = Attributes("red", "square", "small", "left", "gray")
OTHER = Attributes("blue", "ring", "large", "grows", "brown")


def as_floats(video):
    return video.astype(np.float32) / np.float32(127.5) - 1


def blurred(video, sigma):
    planes = np.ascontiguousarray(as_floats(video).transpose(0, 3, 1, 2))
    return low_pass(planes, sigma).transpose(0, 2, 3, 1)


def noisy(video, sigma=0.03):
    noise = np.random.default_rng(0).standard_normal(video.shape, np.float32)
    return as_floats(video) + np.float32(2 * sigma) * noise


def ghost(video, other):
    return as_floats(video) * np.float32(0.75) + as_floats(other) * np.float32(0.25)


def pasted(video, other):
    video = video.copy()
    video[:, 16:48, 16:48] = other[:, 16:48, 16:48]
    return video


def shuffled(video, other):
    return video[np.random.default_rng(0).permutation(len(video))]


def jumping(video, other):
    return video[[*range(11), *range(3, 9)]]


def flickering(video, other):
    light = np.random.default_rng(0).normal(0, 0.08, (len(video), 1, 1, 1))
    return as_floats(video) + light.astype(np.float32)


def shaking(video, other):
    steps = np.random.default_rng(0).integers(-2, 3, (len(video), 2))
    frames = zip(video, steps, strict=True)
    return np.stack([np.roll(frame, step, (0, 1)) for frame, step in frames])


@pytest.mark.parametrize("seed", SEEDS)
def test_drawn_videos_are_right_by_every_measure(seed):
    attributes = combinations()[seed * 361]
    video = render(attributes, seed)
    assert render_db(video) > 43
    assert render_db(noisy(video)) > 41
    assert flicker(video) < 0.002
    assert smoothness(read(video)) > 0.98


@pytest.mark.parametrize(
    ("defect", "most"),
    [
        (ghost, 30),
        (pasted, 30),
        (shuffled, 30),
        (jumping, 38),
        (flickering, 34),
        (shaking, 36),
    ],
)
def test_render_db_sees(defect, most):
    videos = [(render(MOVER, s), render(OTHER, 100 + s)) for s in SEEDS]
    levels = [render_db(defect(video, other)) for video, other in videos]
    assert np.mean(levels) < most
    assert all(
        level < render_db(video) - 6
        for level, (video, _) in zip(levels, videos, strict=True)
    )


def test_flicker_measures_the_light():
    assert flicker(flickering(render(MOVER, 0), None)) == pytest.approx(0.04, rel=0.4)
    assert flicker(noisy(render(MOVER, 0))) < 0.01


@pytest.mark.parametrize("defect", [shuffled, jumping])
def test_smoothness_sees_broken_motion(defect):
    assert smoothness(read(defect(render(MOVER, 0), None))) < 0.9


@pytest.mark.parametrize("background", VALUES["background"])
def test_detail_of_drawn_videos_is_one(background):
    videos = [
        render(Attributes("red", "star", "large", "right", background), seed)
        for seed in range(12)
    ]
    assert np.mean([detail(video) for video in videos]) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("change", "least", "most"),
    [
        (lambda v, u: blurred(v, 0.5), 0.65, 0.85),
        (lambda v, u: blurred(v, 1.0), 0.15, 0.35),
        (lambda v, u: (as_floats(v) + as_floats(u)) / 2, 0.4, 0.6),
        (lambda v, u: noisy(v), 0.9, 1.1),
        (lambda v, u: v * 0 + v[0, 0, 0], 0, 0.01),
    ],
    ids=["blurred", "more blurred", "averaged", "noisy", "flat"],
)
def test_detail_falls_with_blur_and_averaging_and_not_with_noise(change, least, most):
    pairs = [(render(MOVER, s), render(MOVER, 100 + s)) for s in SEEDS]
    assert least <= np.mean([detail(change(v, u)) for v, u in pairs]) <= most


def test_noise_alone_is_no_detail():
    noise = np.random.default_rng(0).normal(0, 0.07, (17, 64, 64, 3))
    assert abs(detail(noise.astype(np.float32))) < 0.05


def test_no_ground_no_detail():
    noise = np.random.default_rng(0).uniform(-1, 1, (17, 64, 64, 3))
    assert detail(noise.astype(np.float32)) == 0
