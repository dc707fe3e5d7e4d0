"""The colours of the shapes world, and the patterns of its grounds."""

import dataclasses
from typing import Final

import numpy as np
from jaxtyping import Float

# All colours are in [0, 1].
COLOURS: Final[dict[str, tuple[float, float, float]]] = {
    "red": (0.87, 0.18, 0.20),
    "yellow": (0.98, 0.80, 0.16),
    "green": (0.14, 0.70, 0.32),
    "blue": (0.15, 0.42, 0.92),
    "purple": (0.50, 0.20, 0.74),
    "pink": (0.98, 0.48, 0.69),
}


@dataclasses.dataclass(frozen=True)
class Paint:
    """The colours of a ground, in [0, 1].

    Attributes:
        colour: the mean colour.
        swing: the pattern's amplitude around the mean.
    """

    colour: tuple[float, float, float]
    swing: tuple[float, float, float] = (0.0, 0.0, 0.0)


GROUNDS: Final[dict[str, Paint]] = {
    "gray": Paint((0.55, 0.56, 0.58)),
    "black": Paint((0.12, 0.12, 0.14)),
    "white": Paint((0.88, 0.88, 0.87)),
    "brown": Paint((0.42, 0.30, 0.22)),
    "striped": Paint((0.36, 0.42, 0.46), (0.10, 0.10, 0.10)),
    "checkered": Paint((0.70, 0.68, 0.54), (0.20, 0.20, 0.20)),
}

# A pattern is a sine, or a product of two: it has no edges, so that its energy stays
# far from the band of the texture, and its phases are found by least squares.
STRIPES_ACROSS: Final = 3.0  # in the shorter side of a frame, along each axis
CHECKS_ACROSS: Final = 2.0  # pairs of a dark and a light square


def stripe_waves(
    height: int, width: int, phase: float
) -> Float[np.ndarray, "2 height width"]:
    """The wave of the diagonal stripes, and the same shifted by a quarter period."""
    y, x = _angles(height, width, STRIPES_ACROSS)
    angle = y[:, None] + x[None] + np.float32(phase)
    return np.stack([np.sin(angle), np.cos(angle)])


def check_waves(
    height: int, width: int, phases: tuple[float, float]
) -> Float[np.ndarray, "2 2 height width"]:
    """Products of a wave down and one across, each also shifted by a quarter period."""
    y, x = _angles(height, width, CHECKS_ACROSS)
    y, x = y + np.float32(phases[0]), x + np.float32(phases[1])
    down = np.stack([np.sin(y), np.cos(y)])
    across = np.stack([np.sin(x), np.cos(x)])
    return down[:, None, :, None] * across[None, :, None, :]


def ground_planes(
    background: str, phases: tuple[float, float], height: int, width: int
) -> Float[np.ndarray, "3 height width"]:
    """The ground without its texture; plain grounds ignore the phases."""
    paint = GROUNDS[background]
    planes = np.empty((3, height, width), np.float32)
    planes[:] = np.asarray(paint.colour, np.float32)[:, None, None]
    if background == "striped":
        wave = stripe_waves(height, width, phases[0])[0]
    elif background == "checkered":
        wave = check_waves(height, width, phases)[0, 0]
    else:
        return planes
    return planes + np.asarray(paint.swing, np.float32)[:, None, None] * wave


def _angles(
    height: int, width: int, across: float
) -> tuple[Float[np.ndarray, " height"], Float[np.ndarray, " width"]]:
    turn = 2 * np.pi * across / min(height, width)
    y = (np.arange(height, dtype=np.float32) + 0.5) * np.float32(turn)
    x = (np.arange(width, dtype=np.float32) + 0.5) * np.float32(turn)
    return y, x
