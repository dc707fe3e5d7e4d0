"""Chance targets: what was drawn at random in a scene of one object, read back from it.

Each is told as a quantile: how much of the range that it was drawn from, evenly, lies
below it. Of the middle of the way the range itself is told too.
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

STILL: Final = 1e-3  # pixels: what moves less does not move


class Chances(NamedTuple):
    """Random choices that made one object; NaN where nothing of them could be seen.

    Places are right and down, as fractions of the frame.

    Attributes:
        least: the least that the middle of its way could be.
        most: the most that it could be.
        middle: the middle of its way.
        large: 1 if it is large, 0 if small.
        radius: where its size lies in what its size could be, 0 to 1.
        tilt: where its tilt lies, 0 to 1.
        pace: where the length of its way, or its growth, lies, 0 to 1.
        sideways: where its way to the side lies, 0 to 1.
    """

    least: Float32[np.ndarray, "2"]
    most: Float32[np.ndarray, "2"]
    middle: Float32[np.ndarray, "2"]
    large: float  # 0 or 1
    radius: float
    tilt: float
    pace: float  # of the way, or of the growth
    sideways: float

    def flat(self) -> Float32[np.ndarray, " n"]:
        """The numbers in a row, `COUNT` of them."""
        return np.hstack(self).astype(np.float32)

    @classmethod
    def of_row(cls, row: Float[np.ndarray, " n"]) -> "Chances":
        """The inverse of `flat`."""
        assert len(row) == COUNT
        least, most, middle = row[:6].reshape(3, 2).astype(np.float32)
        return cls(least, most, middle, *(float(x) for x in row[6:]))


COUNT: Final = 11  # numbers in `Chances`, in a row
LARGE: Final = 6  # the place of that one


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
    """Quantiles of the way's length, and of how far to one side it leads."""
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
