"""LTX-2's vocoder against diffusers' LTX2Vocoder."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from flax import nnx

from chorus_jax import checkpoints
from chorus_jax.families.ltx2.vocoder import Vocoder, VocoderConfig
from convert import ltx2_audio
from convert.plan import make_plan

TINY = {
    "in_channels": 8,
    "hidden_channels": 16,
    "upsample_kernel_sizes": [15, 8, 4],
    "upsample_factors": [5, 2, 2],
    "resnet_kernel_sizes": [3, 7],
    "resnet_dilations": [[1, 3], [1, 3]],
}


def test_equals_diffusers(converted):
    torch.manual_seed(0)
    theirs = LTX2Vocoder(**TINY).eval()
    mel = torch.randn(2, 2, 9, 4)
    want = theirs(mel).transpose(1, 2).numpy()
    config = ltx2_audio.vocoder_config(dict(theirs.config), "float32")
    ours = converted(Vocoder, config, ltx2_audio.vocoder(config), theirs)
    got = jax.jit(Vocoder.__call__)(ours, jnp.asarray(mel.permute(0, 2, 3, 1).numpy()))
    assert got.shape == want.shape == (2, 9 * config.hop, 2) and config.hop == 20
    assert np.abs(got - want).max() / np.abs(want).max() <= 1e-5


def test_weights_in_bfloat16_are_computed_with_in_float32():
    """As the makers do: rounding adds up over a hundred convolutions."""
    config = ltx2_audio.vocoder_config(dict(LTX2Vocoder(**TINY).config), "bfloat16")
    ours = Vocoder(config, rngs=nnx.Rngs(0))
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), ours)
    mel = jnp.asarray(np.random.default_rng(0).normal(size=(1, 9, 4, 2)), jnp.bfloat16)
    sounds = [jax.jit(Vocoder.__call__)(x, mel) for x in (ours, wide)]
    np.testing.assert_allclose(*sounds, atol=1e-6)


def test_full_size_conversion_accounts_for_every_tensor():
    with torch.device("meta"):
        theirs = LTX2Vocoder()
    config = ltx2_audio.vocoder_config(dict(theirs.config), "bfloat16")
    assert config == VocoderConfig() and config.hop == 240
    tensors = {k: Named(k, tuple(v.shape)) for k, v in theirs.state_dict().items()}
    targets = checkpoints.names(checkpoints.abstract(Vocoder, config))
    rules = ltx2_audio.vocoder(config)
    assert not make_plan("vocoder", rules, tensors, targets).problems


class Named:
    """A source tensor without values."""

    dtype = np.dtype(np.float32)

    def __init__(self, name, shape):
        self.name, self.shape = name, shape
