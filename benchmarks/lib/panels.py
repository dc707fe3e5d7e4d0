"""Small plots side by side, each over a logarithmic axis, as a PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, EDGE = 280, 220, 40
BLUE, ORANGE, GREEN = (30, 90, 160), (200, 80, 30), (60, 140, 60)
INKS = (BLUE, ORANGE, GREEN, (120, 120, 120), (150, 40, 150))
APART = 6  # pixels between two numbers under an axis

Line = Sequence[tuple[float, float]]
Lines = Mapping[str, Line]


def draw(path: Path, label: str, panels: Mapping[str, Lines]) -> None:
    """Draws a picture with one panel per figure.

    Args:
        path: the PNG file.
        label: the name of the x axis.
        panels: by figure, up to five lines by title, whose points have rising positive
            x. A line may have an empty title.

    Raises:
        ValueError: for more lines than there are colours.
    """
    most = max(map(len, panels.values()))
    if most > len(INKS):
        raise ValueError(f"a panel has at most {len(INKS)} lines, got {most}")
    image = Image.new("RGB", (WIDTH * len(panels), HEIGHT), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for number, (name, lines) in enumerate(panels.items()):
        x0 = number * WIDTH + EDGE
        pen.text((x0, 8), f"{name} over {label}", "black", font)
        scale = Scale(x0, [point for line in lines.values() for point in line])
        _axes(pen, font, scale)
        title_at = float(x0)
        for ink, (title, line) in zip(INKS, lines.items()):
            _line(pen, scale.pixels(line), ink)
            pen.text((title_at, 23), title, ink, font)
            title_at += pen.textlength(f"{title}  ", font)
    image.save(path)


class Scale:
    """Maps points to pixels, with the extreme values slightly inside the frame."""

    def __init__(self, x0: float, points: Line):
        at, values = np.array(points, float).T
        self.x0, self.at, self.values = x0, np.unique(at), values

    def pixels(self, points: Line) -> list[tuple[float, float]]:
        """The pixel positions of these points."""
        at, values = np.array(points, float).T
        width, height = WIDTH - 1.5 * EDGE, HEIGHT - 2 * EDGE
        along = _shares(np.log(at), np.log(self.at))
        up = _shares(values, self.values)
        x = self.x0 + width * (0.05 + 0.9 * along)
        y = EDGE + height * (0.95 - 0.9 * up)
        return list(zip(x.tolist(), y.tolist(), strict=True))


def _shares(values: np.ndarray, all_values: np.ndarray) -> np.ndarray:
    """Scales values so that `all_values` range from 0 to 1; 0.5 if all are equal."""
    low, high = all_values.min(), all_values.max()
    if low == high:
        return np.full(values.shape, 0.5)
    return (values - low) / (high - low)


def _line(pen: ImageDraw.ImageDraw, points: Line, ink: tuple[int, int, int]) -> None:
    pen.line(list(points), fill=ink, width=2)
    for x, y in points:
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=ink)


def _axes(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    scale: Scale,
) -> None:
    """Draws the frame, the points' x values below it, and the least and largest y."""
    x0, bottom, last = scale.x0, HEIGHT - EDGE, -np.inf
    pen.rectangle((x0, EDGE, x0 + WIDTH - 1.5 * EDGE, bottom), outline="gray")
    first = float(scale.values[0])
    for number in scale.at.tolist():
        [(x, _)] = scale.pixels([(number, first)])
        half = pen.textlength(f"{number:.3g}", font) / 2
        if x - half - last > APART:
            pen.text((x, bottom + 6), f"{number:.3g}", "black", font, anchor="ma")
            last = x + half
    for value in {float(scale.values.min()), float(scale.values.max())}:
        [(_, y)] = scale.pixels([(float(scale.at[0]), value)])
        pen.text((x0 - 4, y), f"{value:.3g}", "black", font, anchor="rm")
