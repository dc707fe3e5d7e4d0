"""Signed distances: equal areas, right edges, known points."""

import numpy as np
import pytest

from chorus_jax.training.world.attributes import VALUES
from chorus_jax.training.world.shapes import (
    REACH,
    STAR_NOTCH,
    STAR_OUTER,
    TILT,
    signed_distance,
)

SHAPES = VALUES["shape"]


def plane(samples=801, extent=1.8):
    at = np.linspace(-extent, extent, samples, dtype=np.float32)
    x, y = np.meshgrid(at, at)
    return x, y, (at[1] - at[0]) ** 2


@pytest.mark.parametrize("shape", SHAPES)
def test_area_and_centre_are_those_of_the_unit_circle(shape):
    x, y, cell = plane()
    within = signed_distance(shape, x, y) < 0
    assert within.sum() * cell == pytest.approx(np.pi, rel=5e-3)
    assert abs(x[within].mean()) < 5e-3
    assert abs(y[within].mean()) < 5e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_reach_is_the_farthest_point(shape):
    x, y, _ = plane()
    within = signed_distance(shape, x, y) < 0
    assert np.hypot(x, y)[within].max() == pytest.approx(REACH[shape], abs=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_distance_grows_by_one_across_an_edge(shape):
    """Anti-aliasing takes half a pixel to either side of an edge for what it is."""
    x, y, cell = plane()
    distance = signed_distance(shape, x, y)
    slopes = np.hypot(*np.gradient(distance, cell**0.5))
    near = abs(distance) < 0.03
    assert np.median(slopes[near]) == pytest.approx(1, abs=0.01)
    assert np.mean(abs(slopes[near] - 1) < 0.05) > 0.9


def test_points_of_a_star():
    turn = np.arange(5) * 2 * np.pi / 5
    tips = STAR_OUTER * np.sin(turn), -STAR_OUTER * np.cos(turn)
    inner = STAR_NOTCH * STAR_OUTER
    notches = inner * np.sin(turn + np.pi / 5), -inner * np.cos(turn + np.pi / 5)
    for x, y in (tips, notches):
        distance = signed_distance("star", x.astype(np.float32), y.astype(np.float32))
        np.testing.assert_allclose(distance, 0, atol=1e-5)


def test_a_tilted_square_is_no_diamond():
    assert TILT < np.pi / 12
