"""Published models are recognised by their sizes and run as published."""

from dataclasses import replace
from importlib import import_module

import pytest

from chorus_jax.checkpoints import shipped
from chorus_jax.families.registry import family_of
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.families.wan.variants import (
    NEGATIVE_PROMPT,
    RELEASED,
    STAMP,
    defaults_of,
)
from chorus_jax.nets.clip_image import CLIPImageConfig
from chorus_jax.nets.t5 import T5Config
from chorus_jax.schedulers import stored

UNIPC = "UniPCMultistepScheduler"
# As diffusers' converter writes it.
STAMPED = {
    "_class_name": UNIPC,
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": STAMP["shift"],
}
TEXT = T5Config.umt5_xxl("bfloat16")
WAN14 = WanConfig.t2v_14b()
I2V = replace(WAN14, in_channels=36)
I2V_TOWER = replace(I2V, image_width=1280)
FLF2V = replace(I2V_TOWER, image_positions=514)
TOWER = CLIPImageConfig.vit_h_14()
WAN5 = WanConfig(heads=24, depth=30, mlp_width=14336, in_channels=48, out_channels=48)
OLD, NEW = WanVAEConfig.wan21(), WanResidualVAEConfig.wan22()
BY_NAME = {variant.name: variant for variant in RELEASED}
KNOWN = {
    "Wan 2.1 T2V-1.3B": Sizes(WanConfig.t2v_1_3b(), OLD, TEXT),
    "Wan 2.1 T2V-14B": Sizes(WanConfig.t2v_14b("float32"), OLD, TEXT),
    "Wan 2.1 I2V-14B-480P": Sizes(I2V_TOWER, OLD, TEXT, image_encoder=TOWER),
    "Wan 2.1 FLF2V-14B-720P": Sizes(FLF2V, OLD, TEXT, image_encoder=TOWER),
    "Wan 2.2 T2V-A14B": Sizes(WAN14, OLD, TEXT, transformer_2=WAN14),
    "Wan 2.2 I2V-A14B": Sizes(I2V, OLD, TEXT, transformer_2=I2V),
    "Wan 2.2 TI2V-5B": Sizes(WAN5, NEW, TEXT),
}


def text_only(**changes):
    return Sizes(replace(WAN14, **changes), OLD, TEXT)


@pytest.mark.parametrize("name", KNOWN)
def test_the_published_ones_run_as_published(name):
    published = BY_NAME[name]
    for scheduler in (None, STAMPED):
        defaults = defaults_of(KNOWN[name], "transformer", scheduler)
        assert defaults.request == published.defaults.request
        assert defaults.source.startswith(f"published for {name} ")
    KNOWN[name].latent_shape(defaults.request)
    paired = KNOWN[name].transformer_2 is not None
    assert paired == (published.boundary is not None)


@pytest.mark.parametrize(
    "name, size, frames, steps, shift, guidance, fps",
    [
        ("Wan 2.1 T2V-1.3B", (480, 832), 81, 50, 8, (6, 6), 16),
        ("Wan 2.1 T2V-14B", (720, 1280), 81, 50, 5, (5, 5), 16),
        ("Wan 2.1 I2V-14B-480P", (480, 832), 81, 40, 3, (5, 5), 16),
        ("Wan 2.1 I2V-14B-720P", (720, 1280), 81, 40, 5, (5, 5), 16),
        ("Wan 2.1 FLF2V-14B-720P", (720, 1280), 81, 50, 16, (5, 5), 16),
        ("Wan 2.2 T2V-A14B", (720, 1280), 81, 40, 12, (4, 3), 16),
        ("Wan 2.2 I2V-A14B", (720, 1280), 81, 40, 5, (3.5, 3.5), 16),
        ("Wan 2.2 TI2V-5B", (704, 1280), 121, 50, 5, (5, 5), 24),
    ],
)
def test_the_authors_settings(name, size, frames, steps, shift, guidance, fps):
    defaults = BY_NAME[name].defaults
    request = defaults.request
    assert (request.height, request.width) == size and request.frames == frames
    assert (request.steps, request.shift, defaults.fps) == (steps, shift, fps)
    assert request.guidance_scales == guidance and request.solver == "unipc"
    assert request.negative_prompt.endswith(NEGATIVE_PROMPT)


@pytest.mark.parametrize("name", KNOWN)
def test_512_rows_of_text_are_read(name):
    """diffusers' encode_prompt by itself gives 226."""
    assert KNOWN[name].transformer.text_limit == 512


def test_the_5b_is_not_for_720_rows():
    request = replace(BY_NAME["Wan 2.2 TI2V-5B"].defaults.request, height=720)
    with pytest.raises(ValueError, match="multiple of 32, got 720.*: 704 or 736"):
        KNOWN["Wan 2.2 TI2V-5B"].latent_shape(request)


def test_the_authors_boundaries():
    t2v, i2v = BY_NAME["Wan 2.2 T2V-A14B"], BY_NAME["Wan 2.2 I2V-A14B"]
    assert (t2v.boundary, i2v.boundary) == (0.875, 0.9)


def test_a_scheduler_that_somebody_chose_goes_before():
    chosen = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 7.0}
    defaults = defaults_of(text_only(), "transformer", chosen)
    assert (defaults.request.solver, defaults.request.shift) == ("euler", 7.0)
    assert defaults.request.width == 1280 and "weights came with" in defaults.source


def test_a_stamped_scheduler_file_is_overruled_and_told():
    """The A14B repositories have flow_shift 3."""
    defaults = defaults_of(KNOWN["Wan 2.2 T2V-A14B"], "transformer", STAMPED)
    assert "their shift 12.0 overrules shift 3.0 of the scheduler" in defaults.source
    plain = defaults_of(KNOWN["Wan 2.2 T2V-A14B"], "transformer", None)
    assert defaults.request == plain.request and "overrules" not in plain.source


def test_one_scale_that_is_given_is_that_of_both_experts():
    request = BY_NAME["Wan 2.2 T2V-A14B"].defaults.request
    assert request.changed(guidance_scale=6.0).guidance_scales == (6, 6)
    assert request.changed(guidance_scale_low=2.0).guidance_scales == (4, 2)
    both = request.changed(guidance_scale=6.0, guidance_scale_low=2.0)
    assert both.guidance_scales == (6, 2)


@pytest.mark.parametrize(
    "sizes, part",
    [
        (text_only(depth=39), "transformer"),
        (text_only(), "transformer_fast"),
        (Sizes(I2V, OLD, TEXT), "transformer"),
    ],
)
def test_other_models_are_not_recognised(sizes, part):
    defaults = defaults_of(sizes, part, STAMPED)
    assert "not recognised" in defaults.source and defaults.request.shift == 3


@pytest.mark.parametrize(
    "part, config",
    [("transformer", "shapes"), ("transformer_4step", "shapes_4step")],
)
def test_the_shipped_weights_are_recognised(part, config):
    folder = shipped.folder()
    defaults = family_of(folder).defaults(folder, part)
    ours = import_module(f"configs.{config}")
    assert defaults.request == ours.get_config() and defaults.fps == ours.FPS


def test_the_stamp_is_one_of_our_solvers():
    assert stored.read(STAMPED) == STAMP


def test_a_scheduler_that_is_not_run_is_refused():
    for other in ({"_class_name": "LCMScheduler"}, STAMPED | {"solver_order": 3}):
        with pytest.raises(ValueError, match="which is not run|solver_order 3"):
            defaults_of(KNOWN["Wan 2.2 TI2V-5B"], "transformer", other)


@pytest.mark.parametrize(
    "vae, wan, message",
    [
        (OLD, WAN5, "in_channels=48, but the latent channels is 16"),
        (NEW, WAN14, "in_channels=16, but the latent channels is 48"),
        (OLD, I2V_TOWER, "image_width=1280, .* is None"),
    ],
)
def test_parts_of_different_models_are_refused(vae, wan, message):
    with pytest.raises(ValueError, match=message):
        Sizes(wan, vae, TEXT)


def test_a_t5_in_place_of_umt5_is_refused():
    plain = T5Config.t5_xxl()
    with pytest.raises(ValueError, match="it is a T5 .* but Wan reads umT5-XXL"):
        Sizes(WAN14, OLD, plain)
    # With one layer there is no difference.
    assert Sizes(WAN14, OLD, replace(plain, depth=1)).text_encoder.depth == 1


def test_an_image_tower_of_other_tokens_is_refused():
    tower = replace(TOWER, side=112)
    with pytest.raises(ValueError, match="image_positions=514, but the tokens"):
        Sizes(FLF2V, OLD, TEXT, image_encoder=tower)


def test_the_image_to_video_models_of_one_size_name_each_other():
    source = defaults_of(KNOWN["Wan 2.1 I2V-14B-480P"], "transformer", STAMPED).source
    assert "the 720P weights, of the same sizes, want --config wan21_i2v_720p" in source
    negative = BY_NAME["Wan 2.1 FLF2V-14B-720P"].defaults.request.negative_prompt
    assert negative.startswith("镜头切换，镜头晃动，色调艳丽")


def test_experts_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="two experts must have the same sizes"):
        Sizes(WAN14, OLD, TEXT, transformer_2=replace(WAN14, depth=30))
