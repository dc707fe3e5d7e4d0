"""Recognises the motion of a path, and fits the steady path nearest to it."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from chorus_jax.training.world.placing import TRAVEL, WAYS
from chorus_jax.training.world.scene import Path

Values = Float[np.ndarray, " f"]


@dataclasses.dataclass(frozen=True)
class Trend:
    """Straight lines through an object's path: right, down and radius, in pixels.

    Attributes:
        middle: their values in the middle of the video.
        change: their change from the first frame to the last.
        unsteady: the root mean square distance of the path from the lines, over the
            mean radius; a change of radius counts as a distance.
    """

    middle: tuple[float, float, float]
    change: tuple[float, float, float]
    unsteady: float


def fit_trend(path: Path, good: Bool[np.ndarray, " f"]) -> Trend:
    """Least squares over the good frames, of x, y and radius."""
    along = np.linspace(-0.5, 0.5, good.size)
    lines = np.stack([np.ones(good.size), along], axis=1)
    values = np.stack([path.x, path.y, path.radius], axis=1).astype(float)
    parts, *_ = np.linalg.lstsq(lines[good], values[good], rcond=None)
    off = np.sqrt((((values - lines @ parts)[good]) ** 2).sum(axis=1).mean())
    (x, y, radius), (dx, dy, growth) = parts.tolist()
    unsteady = float(off / max(radius, 1e-6))
    return Trend((x, y, radius), (dx, dy, growth), unsteady)


def compare_motions(trend: Trend, unit: int, least_growth: float) -> dict[str, float]:
    """The distance of a trend from each motion.

    The unit is the shortest path, or the least growth, that the world draws.
    """
    x, y = (value / (TRAVEL[0] * unit) for value in trend.change[:2])
    growth = trend.change[2] / (2 * least_growth * max(trend.middle[2], 1e-6))
    distances = {"still": float(np.sqrt(x * x + y * y + growth * growth))}
    distances["grows"] = float(np.sqrt(x * x + y * y + _short(growth) ** 2))
    for motion, way in WAYS.items():
        forwards, sideways = x * way[0] + y * way[1], x * way[1] - y * way[0]
        sideways = sideways / max(1.0, forwards)
        square = _short(forwards) ** 2 + sideways**2 + growth**2
        distances[motion] = float(np.sqrt(square))
    return distances


def steady_path(trend: Trend, motion: str, frames: int) -> Path:
    """The path of this motion nearest to the trend."""
    along = np.linspace(-0.5, 0.5, frames)
    moves = motion in WAYS, motion in WAYS, motion == "grows"
    x, y, radius = (
        (middle + change * moving * along).astype(np.float32)
        for middle, change, moving in zip(
            trend.middle, trend.change, moves, strict=True
        )
    )
    return Path(x, y, np.maximum(radius, np.float32(0.5)))


def _short(amount: float) -> float:
    """The shortfall of an amount below 1, the least that the world draws."""
    return max(0.0, 1.0 - amount)
