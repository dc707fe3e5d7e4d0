"""Recognises a shape: compares its silhouette, centred and scaled, with templates."""

import functools
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32

from chorus_jax.training.world.attributes import VALUES
from chorus_jax.training.world.scene import Path
from chorus_jax.training.world.shapes import TILT, signed_distance

Masks = Float32[np.ndarray, "f height width"]
Silhouette = Float32[np.ndarray, "grid grid"]

GRID: Final = 32  # samples along a side of a silhouette
EXTENT: Final = 1.75  # half of that side, in radii
TILTS: Final = 9  # from one end of the range to the other
EDGES: Final = (0.08, 0.2, 0.4)  # widths of a template's edge in radii, sharp first


def silhouette(masks: Masks, path: Path, good: Bool[np.ndarray, " f"]) -> Silhouette:
    """The object's silhouette, centred, of unit radius, averaged over good frames."""
    x, y, radius = (values[good, None] for values in (path.x, path.y, path.radius))
    offsets = _offsets()[None]
    rows, down = _neighbours(y + radius * offsets, masks.shape[1])
    columns, across = _neighbours(x + radius * offsets, masks.shape[2])
    frames = np.flatnonzero(good)[:, None, None]
    down, across = down[:, :, None], across[:, None, :]
    rows, columns = rows[:, :, None], columns[:, None, :]
    upper = _mixed(masks, frames, rows, columns, across)
    lower = _mixed(masks, frames, rows + 1, columns, across)
    return (upper + down * (lower - upper)).mean(axis=0)


def compare_shapes(seen: Silhouette) -> tuple[dict[str, float], dict[str, float]]:
    """For each shape at its best tilt: the share of its area that differs, and the
    tilt."""
    templates, tilts = _templates()
    errors = abs(templates - seen).mean(axis=(-2, -1)) * (2 * EXTENT) ** 2 / np.pi
    distances, best = {}, {}
    for shape, row in zip(VALUES["shape"], errors, strict=True):
        pick = int(row.argmin())
        distances[shape], best[shape] = float(row[pick]), float(tilts[pick])
    return distances, best


@functools.cache
def _templates() -> tuple[
    Float32[np.ndarray, "shapes views grid grid"], Float[np.ndarray, " views"]
]:
    at = _offsets()
    x, y = at[None, :], at[:, None]
    views = [(t, e) for t in np.linspace(-TILT, TILT, TILTS) for e in EDGES]
    templates = np.array(
        [
            [_template(shape, x, y, tilt, edge) for tilt, edge in views]
            for shape in VALUES["shape"]
        ],
        np.float32,
    )
    return templates, np.array([tilt for tilt, _ in views])


def _template(shape: str, x, y, tilt: float, edge: float) -> Silhouette:
    cos, sin = np.float32(np.cos(tilt)), np.float32(np.sin(tilt))
    distance = signed_distance(shape, cos * x + sin * y, cos * y - sin * x)
    return np.clip(np.float32(0.5) - distance / np.float32(edge), 0, 1)


def _offsets() -> Float32[np.ndarray, " grid"]:
    return np.linspace(-EXTENT, EXTENT, GRID, dtype=np.float32)


def _neighbours(at, length: int):
    """The pixel before each point, and the point's fractional distance to the next
    pixel."""
    at = np.clip(at - np.float32(0.5), 0, length - 1.001)
    before = at.astype(np.int32)
    return before, at - before.astype(np.float32)


def _mixed(masks: Masks, frames, rows, columns, across):
    pixel_left, right = masks[frames, rows, columns], masks[frames, rows, columns + 1]
    return pixel_left + across * (right - pixel_left)
