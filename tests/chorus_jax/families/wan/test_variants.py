"""The released models: their sizes, and the settings of their authors."""

import logging
from dataclasses import replace

import pytest

from chorus_jax.cli import choice
from chorus_jax.families.protocols import Defaults
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.family import WanFamily
from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.families.wan.variants import VARIANTS, variant_of
from chorus_jax.nets.clip_image import CLIPImageConfig
from chorus_jax.nets.t5 import T5Config
from chorus_jax.request import Request

TEXT = T5Config.umt5_xxl("bfloat16")
WAN14 = WanConfig.t2v_14b()
I2V = replace(WAN14, in_channels=36)
WAN5 = WanConfig(heads=24, depth=30, mlp_width=14336, in_channels=48, out_channels=48)
OLD, NEW = WanVAEConfig.wan21(), WanResidualVAEConfig.wan22()
RELEASED = {
    "wan22_t2v_a14b": Sizes(WAN14, OLD, TEXT, transformer_2=WAN14),
    "wan22_i2v_a14b": Sizes(I2V, OLD, TEXT, transformer_2=I2V),
    "wan22_ti2v_5b": Sizes(WAN5, NEW, TEXT),
}
OTHERS = {
    "2.1 text": Sizes(WAN14, OLD, TEXT),
    "2.1 image": Sizes(
        replace(I2V, image_width=1280),
        OLD,
        TEXT,
        image_encoder=CLIPImageConfig.vit_h_14(),
    ),
}


@pytest.mark.parametrize("name", RELEASED)
def test_models_are_known_by_their_sizes(name):
    assert variant_of(RELEASED[name]) == name
    variant = VARIANTS[name]
    request = Request("a cat", **variant.request)
    RELEASED[name].latent_shape(request)
    paired = RELEASED[name].transformer_2 is not None
    assert paired == (variant.boundary is not None)


@pytest.mark.parametrize("name", OTHERS)
def test_other_models_keep_what_they_came_with(name):
    assert variant_of(OTHERS[name]) is None


def test_the_authors_settings():
    """families.md 1.5: official shifts, scales by name, boundaries."""
    t2v, i2v, ti2v = (VARIANTS[name] for name in RELEASED)
    assert (t2v.shift, i2v.shift, ti2v.shift) == (12, 5, 5)
    assert (t2v.boundary, i2v.boundary) == (0.875, 0.9)
    assert t2v.request["guidance_scale_high"] == 4
    assert t2v.request["guidance_scale_low"] == 3
    assert (ti2v.frames, ti2v.fps, ti2v.steps) == (121, 24, 50)
    assert Request("a", **i2v.request).guidance_scales == (3.5, 3.5)


@pytest.mark.parametrize(
    "vae, wan, message",
    [
        (OLD, WAN5, "in_channels=48, but the latent channels is 16"),
        (NEW, WAN14, "in_channels=16, but the latent channels is 48"),
        (OLD, replace(I2V, image_width=1280), "image_width=1280, .* is None"),
    ],
)
def test_parts_of_different_models_are_refused(vae, wan, message):
    with pytest.raises(ValueError, match=message):
        Sizes(wan, vae, TEXT)


def test_experts_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="two experts must have the same sizes"):
        Sizes(WAN14, OLD, TEXT, transformer_2=replace(WAN14, depth=30))


def test_a_wrong_scheduler_file_is_overruled_in_one_line(weights, monkeypatch, caplog):
    """The A14B repositories have flow_shift 3."""
    variant = VARIANTS["wan22_t2v_a14b"]
    known = Defaults(16, "wan22_t2v_a14b", variant.request)
    monkeypatch.setattr(WanFamily, "defaults", lambda self, folder: known)
    with caplog.at_level(logging.WARNING):
        made = choice.choose(weights, None, {})
    assert made.request.shift == 12
    assert "shift=12.0, as the authors of wan22_t2v_a14b" in caplog.text
    given = choice.choose(weights, None, {"shift": 8.0, "guidance_scale_low": 2.0})
    assert given.request.shift == 8 and given.request.guidance_scales == (4, 2)


def test_unknown_weights_run_as_their_scheduler_says(weights):
    made = choice.choose(weights, None, {})
    assert (made.request, made.fps) == (Request("", shift=5.0, solver="unipc"), 16)
