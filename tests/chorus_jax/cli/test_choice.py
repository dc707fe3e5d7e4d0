"""Defaults of a command line: weights, transformer and settings."""

import logging

import pytest

from chorus_jax.checkpoints import shipped
from chorus_jax.cli.choice import choose
from chorus_jax.cli.config_file import load_config
from chorus_jax.request import Request

FULL, FEW = "transformer", "transformer_4step"


def given(**fields):
    return {"prompt": "a red circle", **fields}


def test_weights_and_no_config_run_as_they_came(weights):
    choice = choose(weights, None, given(steps=4))
    assert choice.folder == weights and choice.transformer == FULL
    assert choice.request == Request("a red circle", steps=4, solver="unipc", shift=5.0)
    assert "not recognised" in choice.source


def test_weights_with_a_config_run_the_part_that_it_names(two_transformers):
    choice = choose(two_transformers, "shapes_4step", given())
    assert choice.transformer == FEW and choice.request.steps == (1.0, 0.75, 0.5, 0.25)
    with pytest.raises(ValueError, match="guidance folded in"):
        choose(two_transformers, "shapes_4step", given(guidance_scale=3.0))


@pytest.mark.parametrize(
    "config, fields, name, part",
    [
        (None, {}, "shapes", FULL),
        (None, {"steps": 25}, "shapes", FULL),
        (None, {"steps": (1.0, 0.9, 0.8, 0.4)}, "shapes", FULL),
        (None, {"steps": 4}, "shapes_4step", FEW),
        (None, {"steps": 4, "guidance_scale": 1.0}, "shapes_4step", FEW),
        ("shapes", {"steps": 4}, "shapes", FULL),
        ("shapes", {"steps": 4, "guidance_scale": 5.0}, "shapes", FULL),
        ("shapes_4step", {}, "shapes_4step", FEW),
    ],
)
def test_shipped_weights(shipped_weights, caplog, config, fields, name, part):
    caplog.set_level(logging.WARNING)
    choice = choose(None, config, given(**fields))
    assert (choice.folder, choice.transformer) == (shipped_weights, part)
    usual = f"what these weights were trained for ({name})"
    assert choice.source == (f"--config {name}" if config else usual)
    assert not choice.warnings
    base = load_config(name).request
    assert choice.request.guidance_scale == fields.get(
        "guidance_scale", base.guidance_scale
    )
    if part == FEW:
        assert choice.request.steps == (1.0, 0.75, 0.5, 0.25)
    else:
        assert choice.request.steps == fields.get("steps", base.steps)


@pytest.mark.parametrize("config", [None, "shapes_4step"])
def test_guidance_of_the_distilled_one_is_an_error(shipped_weights, config):
    with pytest.raises(ValueError, match="leave --guidance-scale out, or .* shapes$"):
        choose(None, config, given(steps=4, guidance_scale=3.0))


@pytest.mark.parametrize(
    "config, fields, warnings",
    [
        (None, {"frames": 33}, ["frames=33: these weights were trained on 17 only"]),
        (None, {"height": 128, "width": 96}, ["height=128: these", "width=96: these"]),
        (None, {"steps": 4, "shift": 5.0}, ["distilled for the steps, solver and"]),
        (None, {"steps": 4, "negative_prompt": "x"}, ["is not read without guidance"]),
        (None, {"negative_prompt": "x"}, []),
        ("shapes_4step", {"steps": 8}, ["transformer_4step was distilled for"]),
        ("shapes", {"steps": 8, "shift": 5.0, "solver": "unipc"}, []),
    ],
)
def test_what_was_not_trained_is_warned_of(
    shipped_weights, caplog, config, fields, warnings
):
    choice = choose(None, config, given(**fields))
    assert not caplog.messages
    choice.warn()
    assert len(caplog.messages) == len(warnings)
    for message, expected in zip(caplog.messages, warnings):
        assert expected in message


def test_a_config_of_other_weights_needs_them(shipped_weights, tmp_path):
    with pytest.raises(ValueError, match="wan21_14b is for weights that are not ship"):
        choose(None, "wan21_14b", given())
    file = tmp_path / "mine.py"
    source = "from configs.shapes import get_config\n"
    file.write_text(source)
    with pytest.raises(ValueError, match="write WEIGHTS"):
        choose(None, str(file), given())
    file.write_text(source + 'WEIGHTS = "shapes"\n')
    assert choose(None, str(file), given()).folder == shipped_weights


def test_without_shipped_weights_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "ROOT", tmp_path / "none")
    with pytest.raises(ValueError, match="came with this installation.*give --weights"):
        choose(None, None, given())
