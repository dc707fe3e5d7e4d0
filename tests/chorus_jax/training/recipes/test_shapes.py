"""The recipes: tokens are narrower than the model, regions are of eight pixels."""

import math

import pytest

from chorus_jax.training.__main__ import parser
from chorus_jax.training.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_a_token_is_narrower_than_the_model(name):
    # A network cannot carry the noise of a token that is wider than itself.
    sizes = RECIPES[name]().transformer
    assert math.prod(sizes.patch) * sizes.in_channels < 0.6 * sizes.width


@pytest.mark.parametrize("name", RECIPES)
def test_a_region_is_of_eight_pixels(name):
    sizes = RECIPES[name]().transformer
    boxes = [p * t for p, t in zip(sizes.patch[1:], sizes.tile[1:], strict=True)]
    assert boxes == [2, 2]  # latents of 4x4 pixels


def test_the_command_names_a_recipe(capsys):
    command = ["all", "--out", "folder"]
    assert parser().parse_args(command).recipe == "shapes"
    with pytest.raises(SystemExit):
        parser().parse_args([*command, "--recipe", "unknown"])
    assert "shapes" in capsys.readouterr().err
