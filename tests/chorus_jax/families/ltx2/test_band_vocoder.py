"""LTX-2.3's vocoder against diffusers' LTX2VocoderWithBWE."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers.pipelines.ltx2.vocoder import LTX2VocoderWithBWE

from chorus_jax import checkpoints
from chorus_jax.families.ltx2.band_vocoder import BandVocoder, BandVocoderConfig
from convert import ltx2_audio
from convert.plan import make_plan

TINY = {
    "in_channels": 8,
    "hidden_channels": 8,
    "upsample_kernel_sizes": [11, 4],
    "upsample_factors": [5, 2],
    "resnet_kernel_sizes": [3],
    "resnet_dilations": [[1, 3]],
    "bwe_in_channels": 8,
    "bwe_hidden_channels": 8,
    "bwe_upsample_kernel_sizes": [12, 11],
    "bwe_upsample_factors": [6, 5],
    "bwe_resnet_kernel_sizes": [3],
    "bwe_resnet_dilations": [[1, 3]],
    "filter_length": 32,
    "window_length": 32,
    "hop_length": 10,
    "num_mel_channels": 4,
}


def without_unused(state):
    return {name: x for name, x in state.items() if name != ltx2_audio.UNUSED}


class Used:
    """A torch module without the tensor that is not read."""

    def __init__(self, module):
        self.module = module

    def state_dict(self):
        return without_unused(self.module.state_dict())


def test_equals_diffusers(converted):
    torch.manual_seed(0)
    theirs = LTX2VocoderWithBWE(**TINY).eval()
    for name, parameter in theirs.named_parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    # The published ones come with the checkpoint; fresh ones are zeros.
    bases = theirs.mel_stft
    bases.mel_basis.copy_(torch.rand_like(bases.mel_basis))
    waves = bases.stft_fn.forward_basis
    waves.copy_(torch.randn_like(waves))
    mel = torch.randn(2, 2, 7, 4)
    # As their makers do; diffusers leaves the first sound as loud as it is.
    theirs.vocoder.register_forward_hook(lambda _, given, sound: sound.clamp(-1, 1))
    want = theirs(mel).transpose(1, 2).numpy()
    config = ltx2_audio.band_vocoder_config(dict(theirs.config), "float32")
    rules = ltx2_audio.band_vocoder(config)
    ours = converted(BandVocoder, config, rules, Used(theirs))
    got = jax.jit(BandVocoder.__call__)(
        ours, jnp.asarray(mel.permute(0, 2, 3, 1).numpy())
    )
    assert got.shape == want.shape == (2, 7 * 30, 2)
    assert 0.01 < np.abs(want).mean() < 0.9
    assert np.abs(got - want).max() / np.abs(want).max() <= 1e-5


def test_full_size_conversion_accounts_for_every_tensor():
    with torch.device("meta"):
        theirs = LTX2VocoderWithBWE()
    config = ltx2_audio.band_vocoder_config(dict(theirs.config), "bfloat16")
    assert config == BandVocoderConfig()
    state = without_unused(theirs.state_dict())
    tensors = {k: Named(k, tuple(v.shape)) for k, v in state.items()}
    targets = checkpoints.names(checkpoints.abstract(BandVocoder, config))
    rules = ltx2_audio.band_vocoder(config)
    assert not make_plan("vocoder", rules, tensors, targets).problems


class Named:
    """A source tensor without values."""

    dtype = np.dtype(np.float32)

    def __init__(self, name, shape):
        self.name, self.shape = name, shape


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"bwe_act_fn": "snake"}, "bwe_act_fn='snake'; supported is 'snakebeta'"),
        ({"output_sampling_rate": 44100}, "second vocoder lengthens"),
    ],
)
def test_one_of_another_make_is_refused(changes, message):
    with torch.device("meta"):
        source = dict(LTX2VocoderWithBWE(**TINY).config)
    with pytest.raises(ValueError, match=message):
        ltx2_audio.band_vocoder_config({**source, **changes}, "float32")
