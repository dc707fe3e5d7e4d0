"""Measures whether the border of a region is visible in the video."""

import numpy as np
from jaxtyping import Bool, Int, UInt8

from chorus_jax.media.pixels import Planes, to_planes
from chorus_jax.nets.tokens import Size, Tiling

Region = Bool[np.ndarray, "f h w"]
Frames = UInt8[np.ndarray, "g y x 3"]

FLOOR = 1e-3  # added to mean pixel differences, so that flat videos have no seam


def region_of(tiles: Int[np.ndarray, " k"], tiling: Tiling, patch: Size) -> Region:
    """The cells that tiles cover; a cell is a token's area in one latent frame."""
    active = np.zeros(tiling.count, bool)
    active[tiles] = True
    tokens = np.repeat(active, tiling.size)[tiling.place].reshape(tiling.grid)
    return np.repeat(tokens, patch[0], axis=0)


def seam(frames: Frames, full: Frames, region: Region) -> float | None:
    """The visibility of the region's border relative to the full run; 1 is invisible.

    Neighbouring pixels on two sides of a line between tokens differ by some mean
    absolute difference. Its value on the border of the region is divided by its value
    on all other lines. This ratio is divided by the full run's ratio on the same lines,
    since regions often end where objects do. Only borders within a frame count; None if
    there are none, or no other lines.
    """
    mask = _by_frame(region, len(frames))
    ours, reference = (_contrast(to_planes(video), mask) for video in (frames, full))
    return None if ours is None or reference is None else ours / reference


def _by_frame(region: Region, frames: int) -> Region:
    """The region in each video frame.

    The first latent frame is one video frame; each further one is an equal number.
    """
    latents = len(region)
    if latents == 1:
        return np.repeat(region, frames, axis=0)
    return region[-(-np.arange(frames) * (latents - 1) // (frames - 1))]


def _contrast(planes: Planes, mask: Region) -> float | None:
    """The mean pixel difference across the border, divided by that on other lines."""
    border, other = [], []
    for axis in (1, 2):
        # For columns, the arrays are transposed.
        video = planes if axis == 1 else planes.swapaxes(2, 3)
        cells = mask if axis == 1 else mask.swapaxes(1, 2)
        height, width = (a // b for a, b in zip(video.shape[2:], cells.shape[1:]))
        lines = np.arange(1, cells.shape[1]) * height
        steps = abs(video[:, :, lines] - video[:, :, lines - 1]).mean(axis=1)
        apart = np.repeat(cells[:, 1:] != cells[:, :-1], width, axis=2)
        border.append(steps[apart])
        other.append(steps[~apart])
    at, off = np.concatenate(border), np.concatenate(other)
    if not len(at) or not len(off):
        return None
    return float((at.mean() + FLOOR) / (off.mean() + FLOOR))
