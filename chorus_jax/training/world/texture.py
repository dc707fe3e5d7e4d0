"""The fine texture of the ground: band-limited noise that changes slowly.

The phase of every wave in a band of wavelengths turns at its own speed, so the texture
changes everywhere, never repeats and keeps its energy.
"""

from typing import Final

import numpy as np
from jaxtyping import Complex64, Float32, Int

from chorus_jax.training.world.scene import World

WAVELENGTHS: Final = (4.0, 8.0)  # pixels
CONTRAST: Final = 0.035  # root mean square, where black is 0 and white is 1
DRIFT: Final = 0.08  # spread of the waves' speeds, radians per frame


def texture(
    rng: np.random.Generator, world: World
) -> Float32[np.ndarray, "f height width"]:
    """A new texture of zero mean and a root mean square of `CONTRAST`."""
    rows, columns = band(world.height, world.width)
    turns = _turning_waves(rng, world.frames, rows.size)
    waves = np.zeros((world.frames, world.height, world.width // 2 + 1), np.complex64)
    waves[:, rows, columns] = turns
    planes = np.fft.irfft2(waves, s=(world.height, world.width)).astype(np.float32)
    return planes * np.float32(CONTRAST / np.sqrt(np.mean(planes**2)))


def band(
    height: int, width: int
) -> tuple[Int[np.ndarray, " waves"], Int[np.ndarray, " waves"]]:
    """Rows and columns of the texture's waves in the half plane of a real transform."""
    rates = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    longest, shortest = WAVELENGTHS[1], WAVELENGTHS[0]
    rows, columns = np.nonzero((rates >= 1 / longest) & (rates <= 1 / shortest))
    return rows, columns


def _turning_waves(
    rng: np.random.Generator, frames: int, count: int
) -> Complex64[np.ndarray, "f waves"]:
    parts = rng.standard_normal((3, count), np.float32)
    angles = np.arange(frames, dtype=np.float32)[:, None] * (DRIFT * parts[2])
    return ((parts[0] + 1j * parts[1]) * np.exp(1j * angles)).astype(np.complex64)
