"""Signed distances of the shapes, which all have the area of a circle of radius one.

Sizes can therefore be compared between shapes, and a radius computed from an area.
Points may be arrays of numpy or of jax.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from jaxtyping import Array, Float

Points = Float[np.ndarray | Array, "*points"]

SQUARE_HALF: Final = np.pi**0.5 / 2
TRIANGLE_INNER: Final = (np.pi / 27**0.5) ** 0.5  # radius of the circle within
STAR_NOTCH: Final = 0.5  # inner radius over outer radius
STAR_OUTER: Final = (np.pi / (5 * STAR_NOTCH * np.sin(np.pi / 5))) ** 0.5
RING_HOLE: Final = 0.5  # inner radius over outer radius
RING_OUTER: Final = (1 - RING_HOLE**2) ** -0.5

# Distance from the centre to the farthest point.
REACH: Final[dict[str, float]] = {
    "circle": 1.0,
    "square": 2**0.5 * SQUARE_HALF,
    "triangle": 2 * TRIANGLE_INNER,
    "star": STAR_OUTER,
    "ring": RING_OUTER,
}
# The largest tilt in radians: a square on its corner would be a diamond.
TILT: Final = 0.2


def signed_distance(shape: str, x: Points, y: Points) -> Points:
    """The distance to the shape's edge, negative inside; y points down.

    It is exact near edges only.
    """
    return _DISTANCES[shape](x, y)


def _circle(x: Any, y: Any) -> Any:
    return _length(x, y) - np.float32(1)


def _square(x: Any, y: Any) -> Any:
    return x.__array_namespace__().maximum(abs(x), abs(y)) - np.float32(SQUARE_HALF)


def _triangle(x: Any, y: Any) -> Any:
    slopes = np.float32(0.75**0.5) * abs(x) - np.float32(0.5) * y
    return x.__array_namespace__().maximum(slopes, y) - np.float32(TRIANGLE_INNER)


def _star(x: Any, y: Any) -> Any:
    """The signed distance to a star of five points.

    The plane is folded by mirror symmetries onto half of a point, whose edge is a line.
    """
    x, y, maximum = abs(x), -y, x.__array_namespace__().maximum
    cos, sin = np.float32(np.cos(np.pi / 5)), np.float32(np.sin(np.pi / 5))
    for side in (cos, -cos):
        # Mirrors points beyond the line from the centre to a notch.
        beyond = 2 * maximum(side * x - sin * y, 0)
        x, y = x - beyond * side, y + beyond * sin
    x = abs(x)
    notch_x = STAR_OUTER * STAR_NOTCH * np.sin(np.pi / 5)
    notch_y = STAR_OUTER * STAR_NOTCH * np.cos(np.pi / 5)
    normal_x, normal_y = STAR_OUTER - notch_y, notch_x
    length = np.hypot(normal_x, normal_y)
    return np.float32(normal_x / length) * x + np.float32(normal_y / length) * (
        y - np.float32(STAR_OUTER)
    )


def _ring(x: Any, y: Any) -> Any:
    radius, outer = _length(x, y), np.float32(RING_OUTER)
    maximum = x.__array_namespace__().maximum
    return maximum(radius - outer, np.float32(RING_HOLE) * outer - radius)


def _length(x: Any, y: Any) -> Any:
    return x.__array_namespace__().sqrt(x * x + y * y)


_DISTANCES: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
}
