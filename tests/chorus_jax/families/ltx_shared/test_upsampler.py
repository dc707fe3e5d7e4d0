"""Latent upsamplers of both families against diffusers'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel
from flax import nnx

from chorus_jax.devices import sharding
from chorus_jax.families.ltx_shared.upsampler import LTXUpsampler, UpsamplerConfig
from convert import ltx_upsampler

RATIONAL = {"use_rational_resampler": True}


@pytest.mark.parametrize(
    "scale, size",
    [
        ({**RATIONAL, "rational_spatial_scale": 2.0}, (4, 6)),
        ({**RATIONAL, "rational_spatial_scale": 1.5}, (3, 5)),
        ({"use_rational_resampler": False}, (4, 6)),
    ],
)
def test_scales_equal_diffusers(scale, size, converted):
    torch.manual_seed(0)
    theirs = LTX2LatentUpsamplerModel(
        4, mid_channels=32, num_blocks_per_stage=1, **scale
    ).eval()
    config = ltx_upsampler.config(dict(theirs.config), "float32")
    if scale.get("rational_spatial_scale"):
        # Not learnt: conversion leaves it out.
        theirs.upsampler.blur_down._non_persistent_buffers_set.add("kernel")
    ours = converted(LTXUpsampler, config, ltx_upsampler.rules(config), theirs)
    latents = torch.randn(1, 4, 2, 2, 3)
    with torch.no_grad():
        want = torch.moveaxis(theirs(latents), 1, -1).numpy()
    run = jax.jit(lambda model, x: model(x))
    got = run(ours, jnp.asarray(torch.moveaxis(latents, 1, -1).numpy()))
    assert got.shape == want.shape == (1, 2, *size, 4)
    assert np.abs(got - want).max() / np.abs(want).max() <= 1e-5


def test_upsamplers_of_another_make_are_refused():
    config = {"in_channels": 4, "mid_channels": 32, "num_blocks_per_stage": 1}
    with pytest.raises(ValueError, match="temporal_upsample=True; supported is False"):
        ltx_upsampler.config({**config, "temporal_upsample": True}, "float32")
    with pytest.raises(ValueError, match="scale of 0.75; supported are 1.5, 2.0"):
        odd = {**config, "rational_resampler": True, "spatial_scale": 0.75}
        ltx_upsampler.config(odd, "float32")
    assert ltx_upsampler.config({**config, "spatial_scale": 0.75}, "float32").up == 2


@pytest.mark.parametrize(
    "axes, scale",
    [({"context": 8}, (2, 1)), ({"data": 4}, (3, 2))],
    ids=["rows", "columns of strides"],
)
def test_a_mesh_equals_one_device(axes, scale):
    up, down = scale
    config = UpsamplerConfig(2, 8, 1, 2, up, down, "float32")
    model = jax.jit(lambda: LTXUpsampler(config, rngs=nnx.Rngs(0)))()
    latents = jax.random.normal(jax.random.key(0), (1, 2, 8 if up == 2 else 3, 8, 2))
    run = jax.jit(lambda model, x: model(x))
    alone = run(model, latents)
    [count] = axes.values()
    with jax.set_mesh(sharding.make_mesh(**axes, devices=jax.devices()[:count])):
        got = run(model, latents)
    np.testing.assert_allclose(got, alone, atol=1e-5)
    assert got.addressable_shards[0].data.size * count == got.size
