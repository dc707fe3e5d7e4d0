"""Reads the ground of a video: its background, and the phases of its pattern."""

import dataclasses
import functools
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32

from chorus_jax.media.pixels import Planes
from chorus_jax.training.world.palette import GROUNDS, check_waves, stripe_waves
from chorus_jax.training.world.scene import Ground

Still = Float32[np.ndarray, "3 height width"]
Parts = Float[np.ndarray, "7 3"]  # a mean, two stripe waves, four check waves; colours

NEAR: Final = 0.25  # pixels farther from the ground in colour than this are not ground
ROUNDS: Final = 3
COARSE: Final = 2  # every second pixel along each axis is enough to fit the ground
# The mean square of each of the 7 waves.
POWER: Final = np.array([1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25])


@dataclasses.dataclass(frozen=True)
class GroundFit:
    """The waves fitted to the ground, and the distance of each background from them.

    Attributes:
        parts: the colours of the mean and of each wave, in [0, 1].
        distances: by background, the root mean square of colours, summed over the
            channels.
        grounds: by background, the ground with the phases that come nearest.
    """

    parts: Parts
    distances: dict[str, float]
    grounds: dict[str, Ground]

    def planes(self, height: int, width: int) -> Still:
        """The fitted ground, whose colours are not exactly a background's."""
        waves = _waves(height, width).reshape(7, -1)
        return (self.parts.T.astype(np.float32) @ waves).reshape(3, height, width)


def fit_ground(planes: Planes) -> GroundFit:
    """Fits the waves by least squares, in turns with selecting the ground's pixels."""
    seen = np.ascontiguousarray(planes[:, :, ::COARSE, ::COARSE])
    waves = _waves(*planes.shape[-2:])[:, ::COARSE, ::COARSE]
    waves = np.ascontiguousarray(waves).reshape(7, -1)
    middle = np.median(seen[::4], axis=(0, 2, 3))
    parts = np.zeros((7, 3))
    parts[0] = middle
    for _ in range(ROUNDS):
        still = (parts.T.astype(np.float32) @ waves).reshape(seen.shape[1:])
        parts = _solve(seen, waves, ((seen - still) ** 2).sum(axis=1) < NEAR**2)
    distances, grounds = {}, {}
    for background in GROUNDS:
        distances[background], grounds[background] = _compare(parts, background)
    return GroundFit(parts, distances, grounds)


def _solve(
    seen: Planes,
    waves: Float32[np.ndarray, "7 pixels"],
    close: Bool[np.ndarray, "f height width"],
) -> Parts:
    counts = close.sum(axis=0).reshape(-1).astype(np.float32)
    totals = (seen * close[:, None]).sum(axis=0).reshape(3, -1)
    # A little weight on "no wave at all" keeps an almost hidden ground solvable.
    square = (waves * counts) @ waves.T + np.float32(1e-3) * np.eye(7, dtype=np.float32)
    return np.linalg.solve(square.astype(float), (waves @ totals.T).astype(float))


def _compare(parts: Parts, background: str) -> tuple[float, Ground]:
    """Compares the fitted waves with a background at its best phases.

    Returns the distance, and the background with these phases.
    """
    paint = GROUNDS[background]
    wanted = np.zeros((7, 3))
    wanted[0] = paint.colour
    swing = np.array(paint.swing)
    phases = (0.0, 0.0)
    if background == "striped":
        sine, cosine = parts[1:3] @ swing
        phases = (float(np.arctan2(cosine, sine)), 0.0)
        wanted[1:3] = np.outer(_turned(phases[0]), swing)
    elif background == "checkered":
        phases = _check_phases((parts[3:] @ swing).reshape(2, 2))
        turns = np.outer(_turned(phases[0]), _turned(phases[1]))
        wanted[3:] = np.outer(turns, swing)
    square = ((parts - wanted) ** 2).sum(axis=1) @ POWER
    return float(square**0.5), Ground(background, phases)


def _check_phases(products: Float[np.ndarray, "2 2"]) -> tuple[float, float]:
    """The phases of two waves, down and across, whose product best fits coefficients.

    `products` has the coefficients of sine and cosine down (rows) times sine and cosine
    across (columns).
    """
    basis, _, right = np.linalg.svd(products)
    (sine, cosine), (other_sine, other_cosine) = basis[:, 0], right[0]
    down = float(np.arctan2(cosine, sine))
    return down, float(np.arctan2(other_cosine, other_sine))


def _turned(phase: float) -> Float[np.ndarray, "2"]:
    """The coefficients of sin(a) and cos(a) whose sum is sin(a + phase)."""
    return np.array([np.cos(phase), np.sin(phase)])


@functools.lru_cache(maxsize=8)
def _waves(height: int, width: int) -> Float32[np.ndarray, "7 height width"]:
    ones = np.ones((1, height, width), np.float32)
    checks = check_waves(height, width, (0.0, 0.0)).reshape(4, height, width)
    return np.concatenate([ones, stripe_waves(height, width, 0.0), checks])
