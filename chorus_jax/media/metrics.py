"""PSNR and SSIM of one video against another."""

from typing import Final

import numpy as np

from chorus_jax.media.filters import low_pass
from chorus_jax.media.pixels import Planes, Video, to_planes

WINDOW: Final = 1.5  # pixels, the spread of SSIM's window
SMALL: Final = (0.01**2, 0.03**2)
FRAMES: Final = 8  # frames at a time, to save memory with long videos


def psnr(video: Video, reference: Video) -> float:
    """PSNR in dB, of uint8 or of floats in [-1, 1]; infinite for equal videos."""
    ours, reference_planes = _planes(video, reference)
    error = np.mean((ours - reference_planes) ** 2, dtype=np.float64)
    return float("inf") if error == 0 else float(-10 * np.log10(error))


def ssim(video: Video, reference: Video) -> float:
    """Structural similarity, 1 for equal videos: the mean over frames and channels.

    Wang et al., "Image quality assessment", 2004; here the Gaussian window is not
    truncated to 11 pixels.
    """
    ours, reference_planes = _planes(video, reference)
    parts = [
        _ssim_sum(ours[i : i + FRAMES], reference_planes[i : i + FRAMES])
        for i in range(0, len(ours), FRAMES)
    ]
    return sum(parts) / ours.size


def _ssim_sum(ours: Planes, reference_planes: Planes) -> float:
    """The structural similarity of some frames, summed over pixels and channels."""
    mean_a, mean_b = low_pass(ours, WINDOW), low_pass(reference_planes, WINDOW)
    power_a = low_pass(ours * ours, WINDOW) - mean_a * mean_a
    power_b = low_pass(reference_planes * reference_planes, WINDOW) - mean_b * mean_b
    common = low_pass(ours * reference_planes, WINDOW) - mean_a * mean_b
    c1, c2 = (np.float32(c) for c in SMALL)
    light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * common + c2) / (power_a + power_b + c2)
    return float(np.sum(light * structure, dtype=np.float64))


def _planes(video: Video, reference: Video) -> tuple[Planes, Planes]:
    if video.shape != reference.shape:
        raise ValueError(
            f"videos to compare have one shape, got {video.shape} and {reference.shape}"
        )
    return to_planes(video), to_planes(reference)
