"""The LTX VAE over several devices: one device's video, each makes a share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chorus_jax.devices import sharding
from chorus_jax.families.ltx_vae.vae import LTXVAE, decode_whole
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from tests.chorus_jax.collectives import collectives

# Every layer that there is: both paddings, strides, folds, noise and a timestep.
SIZES = dict(
    encoder_widths=(4, 8, 8),
    encoder_depths=(1, 1, 1),
    down=("conv", "spatiotemporal"),
    decoder_widths=(16, 8, 8),
    decoder_depths=(1, 1, 1),
    up=(2, 1),
    up_residual=True,
    latent_channels=2,
    patch=2,
    dtype="float32",
)
PADDINGS = {
    "reflect": dict(
        encoder_padding="zeros",
        decoder_padding="reflect",
        decoder_noise=(False,) * 3,
        timestep=False,
    ),
    "zeros": dict(
        encoder_padding="reflect",
        decoder_padding="zeros",
        decoder_noise=(True,) * 3,
        timestep=True,
    ),
}


@pytest.mark.parametrize(
    "axes, along, padding",
    [({"context": 4}, 2, "reflect"), ({"data": 3}, 3, "zeros")],
    ids=["rows", "columns"],
)
def test_decode_and_encode_equal_one_device(axes, along, padding):
    config = LTXVAEConfig(**SIZES | PADDINGS[padding])
    vae = jax.jit(lambda: LTXVAE(config, rngs=nnx.Rngs(0)))()
    for _, noise in nnx.iter_modules(vae):
        if hasattr(noise, "number"):
            noise.scale[...] = jnp.ones_like(noise.scale[...])
    latents = jax.random.normal(jax.random.key(0), (1, 2, 4, 6, 2))
    seeds = jnp.array([3], jnp.uint32)
    alone = decode_whole(vae, latents, seeds)
    encode = jax.jit(lambda vae, video: vae.encode(video))
    known = encode(vae, alone)
    [count] = axes.values()
    with jax.set_mesh(sharding.make_mesh(**axes, devices=jax.devices()[:count])):
        split = decode_whole(vae, latents, seeds)
        shares = encode(vae, jnp.asarray(np.asarray(alone)))
        step = decode_whole.lower(vae, latents, seeds).compile()
    np.testing.assert_allclose(split, alone, atol=1e-5)
    np.testing.assert_allclose(shares, known, atol=1e-5)
    for array in (split, shares):
        share = array.addressable_shards[0].data
        assert share.shape[along] == array.shape[along] // count
    assert collectives(step) == {"collective-permute"}
