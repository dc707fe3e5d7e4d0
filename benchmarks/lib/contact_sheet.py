"""A picture of samples: prompts by rows, frames by columns, two models side by side."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chorus_jax.media.video import write_contact_sheet

FRAMES = 5  # frames of each video


def draw(
    path: Path,
    captions: Sequence[str],
    models: Sequence[tuple[str, Sequence[np.ndarray]]],
) -> None:
    """Writes a PNG with a row per caption: its video by each model, side by side.

    `models` are names and videos, one video per caption; the names are the heading.
    """
    rows = [_beside(videos) for videos in zip(*(v for _, v in models), strict=True)]
    heading = ", beside it ".join(name for name, _ in models)
    # Text can be drawn only as a row's label, so the heading gets an empty row.
    line = np.full((1, 1, rows[0].shape[2], 3), 255, np.uint8)
    write_contact_sheet(path, [line, *rows], [heading, *captions], len(rows[0]))


def _beside(videos: Sequence[np.ndarray]) -> np.ndarray:
    """`FRAMES` frames of each video, with a white frame between two videos."""
    parts: list[np.ndarray] = []
    for video in videos:
        picks = np.linspace(0, len(video) - 1, FRAMES).round().astype(int)
        parts += [np.full_like(video[:1], 255), video[picks]]
    return np.concatenate(parts[1:])
