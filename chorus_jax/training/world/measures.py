"""Quality of a video: PSNR against a rendering of the oracle's reading, and texture."""

from typing import Final

import numpy as np
from jaxtyping import Bool

from chorus_jax.media.filters import low_pass
from chorus_jax.media.pixels import Planes, Video, to_planes
from chorus_jax.training.world.ground_fit import fit_ground
from chorus_jax.training.world.oracle import read, render_back
from chorus_jax.training.world.reading import Reading
from chorus_jax.training.world.scene import World
from chorus_jax.training.world.texture import CONTRAST, DRIFT, band

STRUCTURE: Final = 2.0  # pixels: the low-pass that leaves structure and no texture
FINE: Final = 2.0
FINER: Final = 0.7  # pixels: the texture's band lies between these blurs
MARGIN: Final = 6  # pixels that the wider blur reaches
OBJECT: Final = 0.25  # a pixel this far from the ground in colour is no ground
NO_ERROR: Final = 1e-6  # mean square; 60 dB is as good as equal in eight bits


def render_db(video: Video, *readings: Reading) -> float:
    """PSNR in dB of the video's structure against a rendering of what the oracle reads.

    Drawn videos reach 45 to 50 dB; ghosts, seams, flicker, wrong tints and motion that
    is not steady lower it. By default, one object is read. If no object is found, the
    rendering has none either, so the attributes must be checked too.
    """
    off = _off_structure(video, readings)
    return float(-10 * np.log10(np.mean(off**2) + NO_ERROR))


def flicker(video: Video, *readings: Reading) -> float:
    """Root mean square of the structure's jumps from frame to frame, in [0, 1].

    This is the second difference in time of the error that `render_db` measures, scaled
    to the spread of an error that is new in every frame. Drawn videos have about 0.001.
    """
    jumps = np.diff(_off_structure(video, readings), 2, axis=0)
    return float(np.sqrt(np.mean(jumps**2) / 6))


def smoothness(reading: Reading) -> float:
    """1 for an object on a steady path, 1/2 for one whose distance from that path
    equals its radius."""
    return 1 / (1 + reading.unsteady)


def detail(video: Video) -> float:
    """Energy of the ground's texture over the world's: 1 is right, 0 is no texture.

    It is computed from the product of neighbouring frames: a texture changes slowly, so
    that noise, which is new in every frame, does not count as detail. 0 if no ground is
    visible.
    """
    planes = to_planes(video)
    above = planes - fit_ground(planes).planes(*planes.shape[-2:])
    fine = low_pass(above.mean(axis=1), FINER) - low_pass(above.mean(axis=1), FINE)
    ground = _ground_only(above)
    still = ground[1:] & ground[:-1]
    if not still.any():
        return 0.0
    return float((fine[1:] * fine[:-1])[still].mean() / _texture_energy(planes))


def _off_structure(video: Video, readings: tuple[Reading, ...]) -> Planes:
    planes = to_planes(video)
    frames, _, height, width = planes.shape
    readings = readings or (read(video),)
    return low_pass(
        planes - render_back(World(height, width, frames), *readings), STRUCTURE
    )


def _ground_only(above: Planes) -> Bool[np.ndarray, "f height width"]:
    """True where only ground is within the filters' reach."""
    off = low_pass((above**2).sum(axis=1), FINER) > OBJECT**2
    # The blur of a mask falls below this just over MARGIN pixels from a straight edge.
    ground = low_pass(off.astype(np.float32), MARGIN / 2.4) < 5e-3
    inner = np.zeros_like(ground)
    inner[:, MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    return ground & inner


def _texture_energy(planes: Planes) -> float:
    """Mean product of neighbouring frames of the world's texture, in the same band."""
    height, width = planes.shape[-2:]
    rows, columns = band(height, width)
    square = np.fft.fftfreq(height)[rows] ** 2 + np.fft.rfftfreq(width)[columns] ** 2
    finer, fine = (np.exp(-2 * np.pi**2 * s**2 * square) for s in (FINER, FINE))
    return float(CONTRAST**2 * np.mean((finer - fine) ** 2) * np.exp(-(DRIFT**2) / 2))
