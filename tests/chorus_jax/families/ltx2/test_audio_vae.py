"""LTX-2's audio VAE against diffusers' AutoencoderKLLTX2Audio."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLLTX2Audio

from chorus_jax import checkpoints
from chorus_jax.families.ltx2.audio_vae import AudioVAE, AudioVAEConfig
from convert import ltx2_audio
from convert.plan import make_plan

# As many channels as a token has numbers: 2 of 4 mel bins.
TINY = {"base_channels": 8, "latent_channels": 2, "mel_bins": 16, "num_res_blocks": 1}


@pytest.fixture
def pair(converted):
    torch.manual_seed(0)
    theirs = AutoencoderKLLTX2Audio(**TINY).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    theirs.latents_mean = torch.randn(8)
    theirs.latents_std = 0.5 + torch.rand(8)
    config = ltx2_audio.audio_vae_config(dict(theirs.config), "float32")
    return converted(AudioVAE, config, ltx2_audio.audio_vae(config), theirs), theirs


def relative(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def test_decode_equals_diffusers(pair):
    ours, theirs = pair
    tokens = torch.randn(2, 5, 8)
    raw = tokens * theirs.latents_std + theirs.latents_mean
    want = theirs.decode(raw.unflatten(2, (2, 4)).transpose(1, 2)).sample
    got = jax.jit(AudioVAE.decode)(ours, jnp.asarray(tokens.numpy()))
    assert got.shape == (2, 17, 16, 2)
    assert relative(got, want.permute(0, 2, 3, 1)) <= 1e-5


def test_encode_equals_diffusers(pair):
    ours, theirs = pair
    mel = torch.randn(2, 2, 17, 16)
    mean = theirs.encode(mel).latent_dist.mean
    raw = mean.transpose(1, 2).flatten(2)
    want = (raw - theirs.latents_mean) / theirs.latents_std
    got = jax.jit(AudioVAE.encode)(ours, jnp.asarray(mel.permute(0, 2, 3, 1).numpy()))
    assert relative(got, want) <= 1e-5


def test_full_size_conversion_accounts_for_every_tensor():
    with torch.device("meta"):
        theirs = AutoencoderKLLTX2Audio()
    config = ltx2_audio.audio_vae_config(dict(theirs.config), "bfloat16")
    assert config == AudioVAEConfig() and config.token_width == 128
    tensors = {k: Named(k, tuple(v.shape)) for k, v in theirs.state_dict().items()}
    targets = checkpoints.names(checkpoints.abstract(AudioVAE, config))
    rules = ltx2_audio.audio_vae(config)
    assert not make_plan("audio_vae", rules, tensors, targets).problems


class Named:
    """A source tensor without values."""

    dtype = np.dtype(np.float32)

    def __init__(self, name, shape):
        self.name, self.shape = name, shape


def test_one_of_another_make_is_refused():
    with torch.device("meta"):
        source = dict(AutoencoderKLLTX2Audio().config)
    with pytest.raises(ValueError, match="norm_type='group'; supported is 'pixel'"):
        ltx2_audio.audio_vae_config({**source, "norm_type": "group"}, "float32")
