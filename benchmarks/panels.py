"""Small plots side by side: several figures over one logarithmic axis, as a png."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, EDGE, INK = 280, 220, 40, (30, 90, 160)


def draw(
    path: Path, label: str, at: Sequence[float], panels: Mapping[str, Sequence[float]]
) -> None:
    """Writes a panel a figure, values over `at`, which rises and is positive."""
    image = Image.new("RGB", (WIDTH * len(panels), HEIGHT), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for number, (name, values) in enumerate(panels.items()):
        left = number * WIDTH + EDGE
        pen.text((left, 8), f"{name} over {label}", "black", font)
        _axes(pen, font, left, at, values)
        points = _points(left, at, values)
        pen.line(points, fill=INK, width=2)
        for x, y in points:
            pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=INK)
    image.save(path)


def _points(
    left: float, at: Sequence[float], values: Sequence[float]
) -> list[tuple[float, float]]:
    """Pixels of the values, the extremes a little inside of the frame."""
    width, height = WIDTH - 1.5 * EDGE, HEIGHT - 2 * EDGE
    along = _shares(np.log(np.asarray(at, float)))
    up = _shares(np.asarray(values, float))
    x = left + width * (0.05 + 0.9 * along)
    y = EDGE + height * (0.95 - 0.9 * up)
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _shares(values: np.ndarray) -> np.ndarray:
    """Values from 0 at the least to 1 at the most; in the middle if all are equal."""
    low, high = values.min(), values.max()
    if low == high:
        return np.full(values.shape, 0.5)
    return (values - low) / (high - low)


def _axes(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    left: float,
    at: Sequence[float],
    values: Sequence[float],
) -> None:
    """The frame, a number under every point, the least and the most value beside."""
    bottom = HEIGHT - EDGE
    pen.rectangle((left, EDGE, left + WIDTH - 1.5 * EDGE, bottom), outline="gray")
    points = _points(left, at, values)
    for (x, _), number in zip(points, at, strict=True):
        pen.text((x, bottom + 6), f"{number:g}", "black", font, anchor="ma")
    for value in {min(values), max(values)}:
        _, y = points[list(values).index(value)]
        pen.text((left - 4, y), f"{value:.3g}", "black", font, anchor="rm")
