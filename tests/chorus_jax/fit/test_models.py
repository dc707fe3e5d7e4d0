"""Names of models to plan for."""

import pytest

from chorus_jax.cli.config_file import config_names
from chorus_jax.fit.models import planned_model, published_name

# Of our configs those of shipped weights, and of checkpoints that nobody named.
OTHERS = {"shapes", "shapes_4step", "wan21_14b_4step"}


@pytest.mark.parametrize(
    "words, name",
    [
        ("Wan 2.1 T2V-14B", "Wan 2.1 T2V-14B"),
        ("wan21_14b", "Wan 2.1 T2V-14B"),
        ("wan21_1p3b", "Wan 2.1 T2V-1.3B"),
        ("wan21_i2v_720p", "Wan 2.1 I2V-14B-720P"),
        ("wan22_ti2v_5b", "Wan 2.2 TI2V-5B"),
        ("ltx_13b_098_dev", "LTX-Video 13B 0.9.8-dev"),
        ("LTX-2 19B dev", "LTX-2 19B dev"),
    ],
)
def test_a_name_or_a_config_is_a_published_model(words, name):
    assert published_name(words)[1] == name


def test_every_config_of_ours_is_known():
    for name in set(config_names()) - OTHERS:
        assert published_name(name)


def test_several_that_are_meant_are_listed():
    with pytest.raises(ValueError, match="may be one of several.*0.9.0, LTX-Video 2B"):
        published_name("ltx video 2b")


def test_an_unknown_one_lists_all():
    with pytest.raises(ValueError, match="neither a folder nor .* Wan 2.1 T2V-1.3B"):
        published_name("sora")


def test_a_folder_has_the_settings_of_its_weights():
    model = planned_model("shapes")
    assert model.defaults.request.height == 64
    assert model.outline.parts.keys() == {"transformer", "vae", "text_encoder"}
