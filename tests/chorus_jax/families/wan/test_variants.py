"""Published models are recognised by their sizes and run as published."""

from dataclasses import replace
from importlib import import_module

import pytest

from chorus_jax.checkpoints import shipped
from chorus_jax.families.registry import family_of
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.variants import STAMP, defaults_of
from chorus_jax.request import SCHEDULERS

UNIPC = "UniPCMultistepScheduler"


@pytest.mark.parametrize(
    "config, size, shift, guidance",
    [
        (WanConfig.t2v_1_3b(), (480, 832), 8, 6),
        (WanConfig.t2v_14b("float32"), (720, 1280), 5, 5),
    ],
)
def test_the_published_ones_run_as_published(config, size, shift, guidance):
    # As diffusers' converter writes it for every size.
    stamp = {"_class_name": UNIPC, "flow_shift": STAMP["shift"]}
    for scheduler in (None, stamp):
        defaults = defaults_of(config, "transformer", scheduler)
        request = defaults.request
        assert (request.height, request.width) == size
        assert (request.frames, request.steps, defaults.fps) == (81, 50, 16)
        assert (request.shift, request.guidance_scale) == (shift, guidance)
        assert request.negative_prompt and "published for Wan 2.1" in defaults.source


def test_a_scheduler_that_somebody_chose_goes_before():
    chosen = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 7.0}
    defaults = defaults_of(WanConfig.t2v_14b(), "transformer", chosen)
    assert (defaults.request.solver, defaults.request.shift) == ("euler", 7.0)
    assert defaults.request.width == 1280 and "weights came with" in defaults.source


@pytest.mark.parametrize("change", [{"in_channels": 36}, {"depth": 39}])
def test_other_sizes_are_not_recognised(change):
    config = replace(WanConfig.t2v_14b(), **change)
    assert "not recognised" in defaults_of(config, "transformer", None).source
    other = defaults_of(WanConfig.t2v_14b(), "transformer_fast", None)
    assert "not recognised" in other.source


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
    assert STAMP["solver"] == SCHEDULERS[UNIPC]
