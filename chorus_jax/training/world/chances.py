"""Chance targets: the random choices in a scene of one object, read back from it.

Most are quantiles: the share, below the value, of the range that it was drawn from
uniformly. The middle of the path is a position, and comes with the ends of its range.
"""

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float, Float32

from chorus_jax.training.world.placing import (
    BORDER,
    RADIUS_SPREAD,
    SIDEWAYS,
    TRAVEL,
)
from chorus_jax.training.world.scene import Scene
from chorus_jax.training.world.shapes import REACH, TILT

STILL: Final = 1e-3  # pixels; an object that moves less is still


class Chances(NamedTuple):
    """The random choices of one object; NaN for choices that do not show in the scene.

    Positions are (right, down), as fractions of the frame.

    Attributes:
        least: the least possible position of the path's middle.
        most: the greatest possible position of the path's middle.
        middle: the middle of the object's path.
        large: 1 for a large object, 0 for a small one.
        radius: quantile of the radius among the radii of this size.
        tilt: quantile of the tilt.
        pace: quantile of the path's length or, for an object that grows, of the growth.
        sideways: quantile of the path's sideways part.
    """

    least: Float32[np.ndarray, "2"]
    most: Float32[np.ndarray, "2"]
    middle: Float32[np.ndarray, "2"]
    large: float  # 0 or 1
    radius: float
    tilt: float
    pace: float  # quantile of the path's length, or of the growth
    sideways: float

    def flat(self) -> Float32[np.ndarray, " n"]:
        """All `COUNT` numbers as one row."""
        return np.hstack(self).astype(np.float32)

    @classmethod
    def of_row(cls, row: Float[np.ndarray, " n"]) -> "Chances":
        """The inverse of `flat`."""
        assert len(row) == COUNT
        least, most, middle = row[:6].reshape(3, 2).astype(np.float32)
        return cls(least, most, middle, *(float(x) for x in row[6:]))


COUNT: Final = 11  # numbers in `Chances`, in a row
LARGE: Final = 6  # index of `large` in the row


def chances(scene: Scene) -> Chances:
    """The chance targets of the scene's only object; all NaN if there are two."""
    nothing = float("nan")
    if len(scene.things) != 1:
        unknown = np.full(2, nothing, np.float32)
        return Chances(unknown, unknown, unknown, *[nothing] * 5)
    (thing,), unit, sizes = scene.things, scene.world.unit, scene.world.sizes
    path, frame = thing.path, np.array([scene.world.width, scene.world.height])
    ends = np.stack([[at[0], at[-1]] for at in (path.x, path.y)])
    step, middle = ends[:, 1] - ends[:, 0], ends.mean(axis=1)
    reach = float(path.radius.max()) * REACH[thing.shape] + BORDER * unit
    least = reach + abs(step) / 2
    size = float(path.radius.mean()) / unit
    large = abs(size - sizes.large) < abs(size - sizes.small)
    expected = sizes.radius("large" if large else "small")
    pace, sideways = _moving(step, frame - 2 * reach, unit)
    growth = float(path.radius[-1] / path.radius.mean() - 1)
    if growth > STILL:
        pace = quantile(growth, sizes.growth)
    return Chances(
        (least / frame).astype(np.float32),
        (1 - least / frame).astype(np.float32),
        (middle / frame).astype(np.float32),
        float(large),
        quantile(size / expected - 1, (-RADIUS_SPREAD, RADIUS_SPREAD)),
        quantile(thing.tilt, (-TILT, TILT)),
        pace,
        sideways,
    )


def _moving(step: np.ndarray, room: np.ndarray, unit: int) -> tuple[float, float]:
    """Quantiles of the path's length and of its sideways part; NaN if still."""
    main = int(abs(step).argmax())
    along, beside = float(abs(step[main])), float(step[1 - main])
    if along < STILL:
        return float("nan"), float("nan")
    least, most = (fraction * unit for fraction in TRAVEL)
    longest = float(np.clip(room[main], least, most))
    return (
        quantile(along, (least, longest)),
        quantile(beside / along, (-SIDEWAYS, SIDEWAYS)),
    )


def quantile(value: float, ends: tuple[float, float]) -> float:
    """Position of `value` between the ends, clipped to [0, 1]; NaN if they are
    equal."""
    low, high = ends
    if high - low < 1e-6:
        return float("nan")
    return float(np.clip((value - low) / (high - low), 0, 1))
