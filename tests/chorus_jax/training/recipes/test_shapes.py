"""The recipes: tokens are narrower than the model, regions are of eight pixels."""

import math

import pytest

from chorus_jax.training.__main__ import USED, changed, check, parser
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


@pytest.mark.parametrize(
    "stage, part", [("vae", "train_vae"), ("flow", "train_flow"), ("distill",) * 2]
)
def test_steps_and_decay_are_of_the_stage_that_runs(stage, part):
    recipe, line = RECIPES["shapes"](), [stage, "--out", "folder"]
    options = parser().parse_args([*line, "--steps", "7", "--decay", "0.5"])
    made = changed(recipe, options)
    for name in ("train_vae", "train_flow", "distill"):
        plan, before = getattr(made, name).plan, getattr(recipe, name).plan
        want = (7, 0.5) if name == part else (before.steps, before.decay)
        assert (plan.steps, plan.decay) == want
    assert changed(recipe, parser().parse_args(line)) == recipe


@pytest.mark.parametrize(
    "option, stage",
    [
        (option, stage)
        for option, stages in USED.items()
        for stage in ("unpack", "vae", "encode", "flow", "teach", "distill", "assemble")
        if stage not in stages
    ],
)
def test_an_option_is_refused_by_a_stage_that_does_not_use_it(option, stage):
    value = "bfloat16" if option == "products" else "7"
    line = [stage, "--out", "folder", f"--{option}", value]
    with pytest.raises(SystemExit, match=f"--{option} .*{stage} does not"):
        check(parser().parse_args(line))
