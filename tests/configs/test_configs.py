"""Every config builds, fits the models it names, and says how to run it."""

import importlib
import pkgutil

import pytest

import configs
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.request import Request

NAMES = [module.name for module in pkgutil.iter_modules(configs.__path__)]


@pytest.mark.parametrize("name", NAMES)
def test_config_is_a_request_that_fits(name):
    module = importlib.import_module(f"configs.{name}")
    request = module.get_config()
    assert isinstance(request, Request)
    assert request.make_solver().schedule.steps >= 1
    f, h, w = WanVAEConfig.wan21().latent_shape(
        request.frames, request.height, request.width
    )
    assert h % 2 == 0 and w % 2 == 0
    assert f"--config {name}" in module.__doc__
    assert "chorus generate" in module.__doc__
