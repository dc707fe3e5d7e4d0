"""Configs by name and by path, and the weights that they name."""

import pytest

from chorus_jax.cli.config_file import load_config

FILE = """
from chorus_jax.request import Request
WEIGHTS, TRANSFORMER = "mine", "fast"
def get_config():
    return Request("", steps=2, guidance_scale=1.5)
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    return load_config(str(tmp_path / "mine.py"))


def test_configs_go_by_name():
    config = load_config("wan21_14b")
    assert config.request.height == 720
    assert config.weights is None and config.transformer == "transformer"


def test_a_file_names_its_weights(config):
    assert (config.weights, config.transformer) == ("mine", "fast")
    assert config.distilled and not load_config("wan21_14b").distilled


def test_shapes_and_its_distilled_one_are_of_the_same_weights():
    full, few = load_config("shapes"), load_config("shapes_4step")
    assert full.weights == few.weights == "shapes"
    assert (full.distilled, few.distilled) == (False, True)
    assert full.request.guided and not few.request.guided
    for name in ("frames", "height", "width", "solver", "shift"):
        assert getattr(full.request, name) == getattr(few.request, name)


def test_given_fields_win_but_folded_guidance_is_fixed(config):
    given = {"prompt": "a cat", "steps": 3, "guidance_scale": 1.5}
    request = config.changed(given)
    assert (request.prompt, request.steps) == ("a cat", 3)
    with pytest.raises(ValueError, match=r"fast has its guidance folded in.* 1.5, got"):
        config.changed({"guidance_scale": 4.0})


def test_a_config_without_a_request_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text("def get_config():\n    return 3\n")
    with pytest.raises(ValueError, match=r"needs a get_config\(\) that returns"):
        load_config(str(tmp_path / "mine.py"))
