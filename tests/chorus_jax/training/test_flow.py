"""The flow's loss: noise levels, scales, unrolled layers, and the probe."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.training.evaluate import losses_by_level
from chorus_jax.training.flow import at_scales, levels, unrolled
from chorus_jax.training.initial_flow import TRANSFORMER, initial_transformer
from chorus_jax.training.params import abstract_part, assembled


def test_noise_levels_cover_the_shifted_range():
    even = np.sort(levels(jax.random.key(0), 100, 1.0))
    assert np.diff(even) == pytest.approx(0.01, abs=1e-5)
    shifted = np.sort(levels(jax.random.key(0), 100, 3.0))
    np.testing.assert_allclose(shifted, 3 * even / (1 + 2 * even), rtol=1e-5)


def test_an_error_counts_at_every_scale():
    noise = jax.random.normal(jax.random.key(0), (4, 3, 32, 32, 5))
    plain = jnp.square(noise).mean()
    assert at_scales(noise, (1,)) == plain
    np.testing.assert_allclose(at_scales(noise, (1, 2, 4)), plain, rtol=0.05)
    everywhere = jnp.ones((1, 1, 8, 8, 1))
    assert at_scales(everywhere, (1, 2, 4)) == (1 + 4 + 16) / 3
    stripes = everywhere.at[:, :, ::2].set(-1)
    assert at_scales(stripes, (2, 4)) == 0 and at_scales(stripes, (1,)) == 1


def test_layers_written_out_are_the_model(recipe):
    config = recipe.transformer
    params = initial_transformer(config, 0)
    start = assembled(TRANSFORMER, params, abstract_part(WanDiT, config))
    keys = iter(jax.random.split(jax.random.key(0), 99))
    random = {k: jax.random.normal(next(keys), x.shape) / 4 for k, x in params.items()}
    model = assembled(TRANSFORMER, random, abstract_part(WanDiT, config))
    latents = jax.random.normal(next(keys), (2, 2, 8, 8, 3))
    text = jax.random.normal(next(keys), (2, 24, 16)).astype(config.dtype)
    timestep = jnp.array([10.0, 900.0])
    ours, middle = jax.jit(unrolled)(model, latents, timestep, text)
    theirs = jax.jit(WanDiT.__call__)(model, latents, timestep, text)
    error = jnp.abs(ours - theirs).max() / jnp.abs(theirs).max()
    assert error < 0.05  # bfloat16
    assert middle.shape == (2, 8, config.width)
    assert not jax.jit(unrolled)(start, latents, timestep, text)[0].any()


def test_losses_by_level_tell_captions_apart():
    def error(captions, sigmas):
        wrong = jnp.array([float(caption != "a") for caption in captions])
        return sigmas + wrong

    found = losses_by_level(error, ["a", "b"])
    assert found["right_0.5"] == pytest.approx(1.0)
    assert found["wrong_0.5"] == pytest.approx(1.0)
    assert found["none_0.1"] == pytest.approx(1.1)


def test_weights_of_another_shape_are_refused(recipe):
    config = recipe.transformer
    params = initial_transformer(config, 0)
    [name, *_] = params
    wrong = {**params, name: params[name][..., None]}
    with pytest.raises(ValueError, match="1 differences"):
        assembled(TRANSFORMER, wrong, abstract_part(WanDiT, config))
