"""Finds coloured objects on a known ground: their colours, masks and places."""

import dataclasses
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32

from chorus_jax.media.filters import low_pass
from chorus_jax.media.pixels import Planes
from chorus_jax.training.world.palette import COLOURS
from chorus_jax.training.world.scene import Path

Still = Float32[np.ndarray, "3 height width"]
Masks = Float32[np.ndarray, "f height width"]
Colour = Float[np.ndarray, "3"]

FAR: Final = 0.25  # a pixel this far from the ground in colour may be an object's
SMOOTH: Final = 0.7  # pixels of blur, against noise, before colours are recognised
VICINITY: Final = 1.5  # pixels of blur, before pixels are assigned to two objects
TURNS: Final = 4
REACH: Final = 1.65  # radii; no shape goes farther
LEAST: Final = 0.06  # least radius of an object, over the shorter side


@dataclasses.dataclass(frozen=True)
class Object:
    """An object as seen in a video.

    Attributes:
        colour: its colour in the video, in [0, 1].
        masks: its share of each pixel, about 0 to 1.
        path: its place and radius in each frame, in pixels.
        there: whether it is seen, by frame.
    """

    colour: Colour
    masks: Masks
    path: Path
    there: Bool[np.ndarray, " f"]


def find_objects(planes: Planes, still: Still, count: int) -> tuple[Object, ...]:
    """Up to `count` objects, of different colours, the largest first."""
    colours = _colours(planes, still, count)
    if not colours:
        return ()
    return tuple(
        _tracked(colour, masks)
        for colour, masks in zip(colours, _masks(planes, still, colours), strict=True)
    )


def _colours(planes: Planes, still: Still, count: int) -> tuple[Colour, ...]:
    """The colours of up to `count` objects, the most frequent first.

    Pixels that differ from the ground are grouped by the nearest colour of the palette.
    """
    smooth = low_pass(planes, SMOOTH)
    square = ((smooth - still) ** 2).sum(axis=1)
    off = square > FAR**2
    if off.sum() < len(planes):
        return ()
    colours_seen = smooth.transpose(0, 2, 3, 1)[off]
    palette = np.array(list(COLOURS.values()), np.float32)
    square = ((colours_seen[:, None] - palette) ** 2).sum(axis=2)
    nearest = square.argmin(axis=1)
    votes = np.bincount(nearest, minlength=len(palette))
    chosen = [k for k in votes.argsort()[::-1][:count] if votes[k] >= len(planes)]
    return tuple(
        _inner(colours_seen[nearest == k], square[nearest == k, k]) for k in chosen
    )


def _inner(
    colours_seen: Float32[np.ndarray, "pixels 3"],
    square: Float32[np.ndarray, " pixels"],
) -> Colour:
    """The median colour of the half of the pixels that are nearest to the palette
    colour.

    The other half may be edges, which are mixed with the ground.

    Args:
        colours_seen: the colours of the pixels.
        square: their squared distances from the palette colour.
    """
    better = square <= np.median(square)
    return np.median(colours_seen[better], axis=0).astype(float)


def _masks(planes: Planes, still: Still, colours: tuple[Colour, ...]) -> list[Masks]:
    """Each object's share of every pixel, where no pixel belongs to two objects."""
    above = planes - still
    masks = []
    for colour in colours:
        towards = colour.astype(np.float32)[:, None, None] - still
        shares = np.einsum("fchw,chw->fhw", above, towards)
        shares /= np.maximum((towards**2).sum(axis=0), np.float32(1e-2))
        # Negative noise is kept, so that its mean is zero; only spikes are cut.
        masks.append(np.clip(shares, -0.25, 1.25))
    if len(colours) == 1:
        return masks
    first = _nearer_first(planes, above, colours)
    return [np.where(first, masks[0], 0), np.where(first, 0, masks[1])]


def _nearer_first(
    planes: Planes, above: Planes, colours: tuple[Colour, ...]
) -> Bool[np.ndarray, "f height width"]:
    """Whether a pixel and its neighbours are nearer to the first colour.

    Pixels are weighted by their distance from the ground, so that edges follow the
    inner pixels of their object.
    """
    one, other = (c.astype(np.float32) for c in colours)
    towards = np.einsum("fchw,c->fhw", planes, one - other)
    middle = np.float32(0.5) * (one @ one - other @ other)
    return low_pass((towards - middle) * (above**2).sum(axis=1), VICINITY) > 0


def _tracked(colour: Colour, masks: Masks) -> Object:
    """Finds centre and area by moments within a disc that moves with the object."""
    frames, height, width = masks.shape
    unit = min(height, width)
    solid = np.where(masks > 0.5, masks, 0).sum(axis=(1, 2))
    radius = np.sqrt(np.maximum(solid, 1) / np.pi).astype(np.float32)
    peaks = low_pass(masks, 0.07 * unit).reshape(frames, -1).argmax(axis=1)
    y, x = (at.astype(np.float32) + 0.5 for at in divmod(peaks, width))
    rows = np.arange(height, dtype=np.float32) + np.float32(0.5)
    columns = np.arange(width, dtype=np.float32) + np.float32(0.5)
    for _ in range(TURNS):
        reach = (REACH * radius + 2)[:, None, None]
        square = (rows - y[:, None])[:, :, None] ** 2
        square = square + (columns - x[:, None])[:, None, :] ** 2
        masked = np.where(square < reach**2, masks, 0)
        area = np.maximum(masked.sum(axis=(1, 2)), 1)
        y = np.clip(masked.sum(axis=2) @ rows / area, 0, height).astype(np.float32)
        x = np.clip(masked.sum(axis=1) @ columns / area, 0, width).astype(np.float32)
        radius = np.sqrt(area / np.pi).astype(np.float32)
    return Object(colour, masks, Path(x, y, radius), radius > LEAST * unit)
