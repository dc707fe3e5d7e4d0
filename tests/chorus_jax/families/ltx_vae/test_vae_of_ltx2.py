"""The LTX-2 video VAE against diffusers' AutoencoderKLLTX2Video."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLLTX2Video

from chorus_jax import checkpoints
from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.families.ltx_vae.vae_blocks import Cue
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from convert import ltx2_vae, ltx_vae
from convert.plan import make_plan

V2 = {
    "latent_channels": 4,
    "block_out_channels": (4, 8, 16, 32),
    "layers_per_block": (1, 1, 1, 1, 1),
    "decoder_block_out_channels": (8, 16, 32),
    "decoder_layers_per_block": (1, 1, 1, 2),
    "decoder_causal": False,
}
V23 = V2 | {
    "decoder_block_out_channels": (8, 16, 16, 32),
    "decoder_layers_per_block": (1, 2, 1, 1, 1),
    "decoder_spatio_temporal_scaling": (True,) * 4,
    "decoder_inject_noise": (False,) * 5,
    # As the makers publish it: nothing is added to what is made larger.
    "upsample_residual": (False,) * 4,
    "upsample_factor": (2, 2, 1, 2),
    "upsample_type": ("spatiotemporal", "spatiotemporal", "temporal", "spatial"),
    "decoder_spatial_padding_mode": "zeros",
}
MAKES = {"2.0": V2, "2.3": V23}
FULL = {
    "v2": {"decoder_causal": False},
    "v23": V23
    | {
        "latent_channels": 128,
        "block_out_channels": (256, 512, 1024, 1024),
        "layers_per_block": (4, 6, 4, 2, 2),
        "decoder_block_out_channels": (256, 512, 512, 1024),
        "decoder_layers_per_block": (4, 6, 4, 2, 2),
    },
}


@pytest.fixture(params=MAKES)
def pair(request, converted):
    torch.manual_seed(0)
    theirs = AutoencoderKLLTX2Video(**MAKES[request.param]).eval()
    for parameter in theirs.parameters():
        # Fresh biases are zeros: they would hide a mix-up.
        parameter.data += 0.05 * torch.randn_like(parameter)
    theirs.latents_mean = torch.randn(4)
    theirs.latents_std = 0.5 + torch.rand(4)
    config = ltx2_vae.config(dict(theirs.config), "float32")
    return converted(LTXVAE, config, ltx_vae.diffusers(config), theirs), theirs


def error(ours, theirs):
    assert ours.shape == theirs.shape
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


def first(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1))


def last(x):
    return np.moveaxis(x.numpy(), 1, -1)


def test_encode_equals_diffusers(pair):
    ours, theirs = pair
    shape = (2, 17, 64, 64, 3)
    video = jax.random.uniform(jax.random.key(0), shape, minval=-1, maxval=1)
    mean = theirs.encode(first(video)).latent_dist.mean
    centre, spread = (
        x[:, None, None, None] for x in (theirs.latents_mean, theirs.latents_std)
    )
    got = jax.jit(LTXVAE.encode)(ours, video)
    assert error(got, last((mean - centre) / spread)) <= 1e-5


def test_decode_equals_diffusers(pair):
    ours, theirs = pair
    latents = jax.random.normal(jax.random.key(1), (1, 3, 2, 3, 4))
    want = last(theirs.decode(first(ours.denormalise(latents))).sample)
    cue = Cue(jnp.zeros(1), jax.random.split(jax.random.key(0), 1))
    got, _ = jax.jit(LTXVAE.decode_step)(ours, latents, None, cue)
    assert got.shape == (1, 17, 64, 96, 3)
    # Ours is clipped; the error is one of the numbers before that.
    off = np.abs(np.asarray(got) - np.clip(want, -1, 1)).max()
    assert off / np.abs(want).max() <= 1e-5


@pytest.mark.parametrize("make", FULL)
def test_full_size_conversion_accounts_for_every_tensor(make):
    config = getattr(LTXVAEConfig, make)()
    with torch.device("meta"):
        theirs = AutoencoderKLLTX2Video(**FULL[make])
    assert ltx2_vae.config(dict(theirs.config), "bfloat16") == config
    tensors = {k: Named(k, tuple(v.shape)) for k, v in theirs.state_dict().items()}
    targets = checkpoints.names(checkpoints.abstract(LTXVAE, config))
    assert not make_plan("vae", ltx_vae.diffusers(config), tensors, targets).problems
    assert (config.time_compression, config.space_compression) == (8, 32)


class Named:
    """A source tensor without values."""

    dtype = np.dtype(np.float32)

    def __init__(self, name, shape):
        self.name, self.shape = name, shape


@pytest.mark.parametrize(
    "field, value",
    [("timestep_conditioning", True), ("upsample_residual", (True, False, True))],
)
def test_a_vae_of_another_make_is_refused(field, value):
    with torch.device("meta"):
        source = dict(AutoencoderKLLTX2Video().config)
    with pytest.raises(ValueError, match=f"the VAE has {field}=.*True.*supported"):
        ltx2_vae.config({**source, field: value}, "float32")
