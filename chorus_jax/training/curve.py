"""The log of a training, one JSON line per step, and a plot of its loss."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

SIZE, EDGE, INK = (800, 400), 48, (30, 90, 160)


@dataclass(frozen=True)
class Log:
    """A file of rows, in order of their step.

    Attributes:
        path: the file, one JSON object per line.
    """

    path: Path

    def add(self, step: int, row: dict[str, float]) -> None:
        """Appends a row."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": step, **row}) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """All rows, except a last row that was not written completely."""
        if not self.path.exists():
            return []
        lines = self.path.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def cut(self, step: int) -> None:
        """Drops the rows after a step, from which training resumes."""
        remaining = [json.dumps(row) for row in self.rows() if row["step"] <= step]
        self.path.write_text("".join(f"{line}\n" for line in remaining))


def smooth(
    values: Float[np.ndarray, " n"], window: int = 25
) -> Float[np.ndarray, " n"]:
    """The moving average of values, over up to `window` of them."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def draw(log: Path, picture: Path) -> None:
    """Plots the smoothed loss over the steps, with a logarithmic axis, as a PNG."""
    rows = Log(log).rows()
    if len(rows) < 2:
        return
    steps = np.array([row["step"] for row in rows], float)
    losses = np.log10(smooth(np.array([row["loss"] for row in rows], float)))
    low, high = float(losses.min()), float(losses.max()) + 1e-6
    width, height = (side - 2 * EDGE for side in SIZE)
    x = EDGE + width * steps / steps[-1]
    y = EDGE + height * (high - losses) / (high - low)
    image = Image.new("RGB", SIZE, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    pen.rectangle((EDGE, EDGE, EDGE + width, EDGE + height), outline="gray")
    pen.line(list(zip(x.tolist(), y.tolist())), fill=INK, width=2)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        level = math.pow(10, high - share * (high - low))
        pen.text((2, EDGE + share * height - 8), f"{level:.3g}", "black", font)
        label = f"{share * steps[-1]:.0f}"
        pen.text((EDGE + share * width - 10, SIZE[1] - EDGE + 6), label, "black", font)
    pen.text((EDGE, 14), "loss over steps", "black", font)
    image.save(picture)
