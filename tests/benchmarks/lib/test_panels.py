"""Plots draw all their lines, or say that they cannot."""

import pytest
from PIL import Image

from benchmarks.lib import panels

LINES = {f"line {n}": [(1.0, n), (2.0, n + 1.0)] for n in range(len(panels.INKS))}


def test_every_line_is_drawn_in_a_colour_of_its_own(tmp_path):
    panels.draw(tmp_path / "drawn.png", "steps", {"psnr": LINES})
    image = Image.open(tmp_path / "drawn.png")
    colours = {colour for _, colour in image.getcolors(1 << 16)}
    assert {*panels.INKS} <= colours


def test_more_lines_than_colours_are_refused(tmp_path):
    more = {**LINES, "another": [(1.0, 1.0)]}
    with pytest.raises(ValueError, match="at most 5 lines, got 6"):
        panels.draw(tmp_path / "drawn.png", "steps", {"psnr": more})
    assert not (tmp_path / "drawn.png").exists()
