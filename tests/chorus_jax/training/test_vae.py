"""The VAE's initial weights, and the parts of its loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.families.wan.vae import Posterior, WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.training.initial_vae import initial_vae
from chorus_jax.training.params import abstract_part, assembled, named_part
from chorus_jax.training.vae import (
    blur,
    divergence,
    quality,
    reconstructed,
    with_statistics,
)

CONFIG = WanVAEConfig(8, (1, 2), 1, (True,), (0.0,) * 4, (1.0,) * 4, dtype="float32")


def test_the_vae_starts_as_an_identity_that_skips_pixels():
    params = named_part("vae", initial_vae(CONFIG, 0))
    vae = assembled("vae", params, abstract_part(WanVAE, CONFIG))
    video = np.random.default_rng(0).integers(100, 200, (1, 5, 16, 16, 3), np.uint8)
    video[:] = video[:, :1, :1, :1]
    made = np.asarray(reconstructed(vae, video))
    # Away from the borders, where convolutions see zeros.
    inside = (made - (video / 127.5 - 1))[:, :, 4:-4, 4:-4]
    assert np.abs(inside).mean() < 0.15


def test_blur_keeps_constants_and_means():
    x = jnp.ones((1, 2, 8, 8, 3))
    np.testing.assert_allclose(blur(x), x, rtol=1e-6)
    spike = jnp.zeros((1, 1, 9, 9, 3)).at[0, 0, 4, 4].set(1.0)
    assert float(blur(spike)[..., 0].sum()) == pytest.approx(1.0)


def test_a_standard_normal_posterior_does_not_diverge():
    zero = jnp.zeros((1, 1, 2, 2, 3))
    assert float(divergence(Posterior(zero, zero))) == 0
    assert float(divergence(Posterior(zero + 2, zero))) == pytest.approx(2)


def test_statistics_are_per_channel():
    raw = np.random.default_rng(0).normal(size=(50, 2, 4, 4, 4)) * 3 + 1
    config = with_statistics(CONFIG, raw)
    assert config.latents_std == pytest.approx((3,) * 4, rel=0.1)
    assert config.latents_mean == pytest.approx((1,) * 4, abs=0.2)


def test_quality_of_the_same_videos():
    from chorus_jax.training.world.examples import training_example
    from chorus_jax.training.world.scene import World

    video = training_example(0, World(48, 48, 5)).video[None]
    same = (video / 127.5 - 1).astype(np.float32)
    found = quality(video, same + 1e-3)
    assert found["psnr"] == pytest.approx(66, abs=1)
    assert found["detail"] == pytest.approx(1, abs=0.02)


def test_assembled_names_what_does_not_fit():
    like = abstract_part(WanVAE, CONFIG)
    with pytest.raises(ValueError, match="missing"):
        assembled("vae", {"vae.moments.kernel": jax.numpy.zeros((8, 8))}, like)
