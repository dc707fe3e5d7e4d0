"""The LTX-Video VAE against diffusers' AutoencoderKLLTXVideo, in its three makes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLLTXVideo
from diffusers.models.autoencoders import autoencoder_kl_ltx

from chorus_jax import checkpoints
from chorus_jax.families.ltx_vae.vae import LTXVAE, decode_groups, decoding_key
from chorus_jax.families.ltx_vae.vae_blocks import Cue, plane
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from convert import ltx_vae, ltx_vae_config
from convert.plan import make_plan

V090 = {
    "latent_channels": 4,
    "block_out_channels": (4, 8, 8, 8),
    "decoder_block_out_channels": (4, 8, 8, 8),
    "layers_per_block": (1, 1, 1, 1, 1),
    "decoder_layers_per_block": (1, 1, 1, 1, 1),
}
LATER = {
    "decoder_block_out_channels": (8, 16, 32),
    "decoder_layers_per_block": (1, 1, 1, 2),
    "decoder_spatio_temporal_scaling": (True,) * 3,
    "upsample_residual": (True,) * 3,
    "upsample_factor": (2, 2, 2),
    "timestep_conditioning": True,
}
V091 = V090 | LATER | {"decoder_inject_noise": (True, True, True, False)}
V095 = (
    V090
    | LATER
    | {
        "block_out_channels": (4, 8, 16, 32, 32),
        "down_block_types": ("LTXVideo095DownBlock3D",) * 4,
        "spatio_temporal_scaling": (True,) * 4,
        "downsample_type": ("spatial", "temporal", "spatiotemporal", "spatiotemporal"),
        "decoder_inject_noise": (False,) * 4,
    }
)
MAKES = {"0.9.0": V090, "0.9.1": V091, "0.9.5": V095}
FULL = {
    "v090": {},
    "v091": LATER
    | {
        "decoder_block_out_channels": (256, 512, 1024),
        "decoder_layers_per_block": (5, 6, 7, 8),
        "decoder_inject_noise": (True, True, True, False),
    },
    "v095": V095
    | LATER
    | {
        "latent_channels": 128,
        "block_out_channels": (128, 256, 512, 1024, 2048),
        "layers_per_block": (4, 6, 6, 2, 2),
        "decoder_block_out_channels": (256, 512, 1024),
        "decoder_layers_per_block": (5, 5, 5, 5),
    },
}


def reference(**sizes):
    torch.manual_seed(0)
    vae = AutoencoderKLLTXVideo(**sizes).eval()
    for parameter in vae.parameters():
        # Fresh biases and strengths of noise are zeros: they would hide a mix-up.
        parameter.data += 0.05 * torch.randn_like(parameter)
    vae.latents_mean = torch.randn(vae.config.latent_channels)
    vae.latents_std = 0.5 + torch.rand(vae.config.latent_channels)
    return vae


@pytest.fixture
def pair(request, converted):
    theirs = reference(**request.param)
    config = ltx_vae_config.config(dict(theirs.config), "float32")
    return converted(LTXVAE, config, ltx_vae.diffusers(config), theirs), theirs


def makes(**changes):
    sizes = [{**make, **changes} for make in MAKES.values()]
    return pytest.mark.parametrize("pair", sizes, indirect=True, ids=MAKES)


def error(ours, theirs):
    assert ours.shape == theirs.shape
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


def first(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1))


def last(x):
    return np.moveaxis(x.numpy(), 1, -1)


def video(frames):
    shape = (2, frames, 32, 64, 3)
    return jax.random.uniform(jax.random.key(0), shape, minval=-1, maxval=1)


@makes()
def test_encode_equals_diffusers(pair):
    ours, theirs = pair
    x = video(17)
    dist = theirs.encode(first(x)).latent_dist
    mean, std = (
        b[:, None, None, None] for b in (theirs.latents_mean, theirs.latents_std)
    )
    want = last((dist.mean - mean) / std)
    assert error(jax.jit(LTXVAE.encode)(ours, x), want) <= 1e-5
    moments, _ = jax.jit(LTXVAE.encode_step)(ours, x, None)
    assert error(moments[..., :-1], last(dist.mean)) <= 1e-5
    want = np.broadcast_to(np.asarray(moments)[..., -1:], last(dist.logvar).shape)
    assert error(np.clip(want, -30, 20), last(dist.logvar)) <= 1e-5


def noise_of(key, config):
    """A stand-in for torch.randn that gives the planes of our decoder in order."""
    numbers = iter(
        4096 * stage + 4 * block + which
        for stage, depth in enumerate(config.decoder_depths)
        for block in range(depth)
        for which in range(2)
        if config.decoder_noise[stage]
    )
    return lambda shape, **_: torch.tensor(
        np.asarray(plane(key, next(numbers), tuple(shape)))
    )


@makes()
def test_decode_equals_diffusers(pair, monkeypatch):
    ours, theirs = pair
    latents = jax.random.normal(jax.random.key(1), (1, 3, 2, 3, 4))
    time, keys = jnp.array([0.3]), decoding_key(jnp.uint32(7))[None]
    stand_in = noise_of(keys[0], ours.config)
    monkeypatch.setattr(autoencoder_kl_ltx.torch, "randn", stand_in)
    raw = first(ours.denormalise(latents))
    timestep = torch.tensor([0.3]) if ours.config.timestep else None
    want = last(theirs.decode(raw, timestep).sample)
    got, _ = jax.jit(LTXVAE.decode_step)(ours, latents, None, Cue(time, keys))
    assert got.shape == (1, 17, 64, 96, 3)
    # Ours is clipped; the error is one of the numbers before that.
    off = np.abs(np.asarray(got) - np.clip(want, -1, 1)).max()
    assert off / np.abs(want).max() <= 1e-5


@makes(decoder_causal=True)
def test_a_causal_decoder_as_a_stream_equals_it_whole(pair):
    vae, _ = pair
    latents = jax.random.normal(jax.random.key(1), (1, 3, 1, 2, 4))
    cue = Cue(jnp.array([0.3]), decoding_key(jnp.uint32(7))[None])
    decode = jax.jit(LTXVAE.decode_step)
    whole, _ = decode(vae, latents, None, cue)
    past, frames = None, []
    for i in range(3):
        group, past = decode(vae, latents[:, i : i + 1], past, cue)
        frames.append(group)
    assert [group.shape[1] for group in frames] == [1, 8, 8]
    np.testing.assert_allclose(jnp.concatenate(frames, axis=1), whole, atol=1e-5)


@pytest.mark.parametrize("pair", [V091], indirect=True, ids=["0.9.1"])
def test_a_decoders_noise_is_that_of_its_seed(pair):
    vae, _ = pair
    latents = jax.random.normal(jax.random.key(1), (1, 2, 1, 2, 4))
    two = jnp.concatenate([latents] * 2)
    one, other = (
        np.concatenate(list(decode_groups(vae, two, jnp.array(seeds, jnp.uint32))), 1)
        for seeds in ((3, 4), (4, 3))
    )
    np.testing.assert_allclose(one, other[::-1], atol=1e-5)
    assert np.abs(one[0] - one[1]).max() > 1e-3


@pytest.mark.parametrize("make", FULL)
def test_full_size_conversion_accounts_for_every_tensor(make):
    config = getattr(LTXVAEConfig, make)()
    with torch.device("meta"):
        theirs = AutoencoderKLLTXVideo(**FULL[make])
    assert ltx_vae_config.config(dict(theirs.config), "bfloat16") == config
    tensors = {k: Named(k, tuple(v.shape)) for k, v in theirs.state_dict().items()}
    targets = checkpoints.names(checkpoints.abstract(LTXVAE, config))
    assert not make_plan("vae", ltx_vae.diffusers(config), tensors, targets).problems


class Named:
    """A source tensor without values."""

    dtype = np.dtype(np.float32)

    def __init__(self, name, shape):
        self.name, self.shape = name, shape
