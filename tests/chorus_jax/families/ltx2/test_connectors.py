"""LTX-2's connectors against diffusers'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers.pipelines.ltx2.connectors import LTX2TextConnectors

from chorus_jax import checkpoints
from chorus_jax.families.ltx2.connectors import ConnectorsConfig, LTX2Connectors
from convert import ltx2_connectors
from convert.plan import make_plan

V2 = {
    "caption_channels": 12,
    "text_proj_in_factor": 3,
    "video_connector_num_attention_heads": 2,
    "video_connector_attention_head_dim": 6,
    "video_connector_num_learnable_registers": 4,
    "audio_connector_num_attention_heads": 2,
    "audio_connector_attention_head_dim": 6,
    "audio_connector_num_learnable_registers": 4,
    "rope_type": "split",
}
V23 = V2 | {
    "per_modality_projections": True,
    "video_hidden_dim": 32,
    "audio_hidden_dim": 16,
    "video_connector_attention_head_dim": 16,
    "audio_connector_attention_head_dim": 8,
    "proj_bias": True,
    "video_gated_attn": True,
    "audio_gated_attn": True,
}
VERSIONS = {"2.0": V2, "2.3": V23}
FULL = {
    "b19": {},
    "b22": {
        **{name: V23[name] for name in V23 if name not in V2},
        "video_hidden_dim": 4096,
        "audio_hidden_dim": 2048,
        "video_connector_num_attention_heads": 32,
        "audio_connector_num_attention_heads": 32,
        "video_connector_attention_head_dim": 128,
        "audio_connector_attention_head_dim": 64,
        "video_connector_num_layers": 8,
        "audio_connector_num_layers": 8,
    },
}
LENGTHS = (7, 2)


def make(sizes):
    torch.manual_seed(0)
    theirs = LTX2TextConnectors(**sizes).eval()
    for parameter in theirs.parameters():
        # Fresh norms are all ones and fresh biases zeros: they would hide a mix-up.
        parameter.data += 0.05 * torch.randn_like(parameter)
    return theirs


@pytest.mark.parametrize("version", VERSIONS)
def test_equals_diffusers_with_padding_on_the_left(version, converted):
    theirs = make(VERSIONS[version])
    config = ltx2_connectors.config(dict(theirs.config), "float32")
    ours = converted(LTX2Connectors, config, ltx2_connectors.DIFFUSERS, theirs)
    torch.manual_seed(1)
    words = [torch.randn(length, 12, 3) for length in LENGTHS]
    left = torch.stack([torch.cat([torch.randn(8 - len(x), 12, 3), x]) for x in words])
    mask = torch.stack([torch.arange(8) >= 8 - len(x) for x in words])
    video, audio, read = theirs(left, mask.long())
    assert read.all()
    right = np.stack([np.pad(x, ((0, 8 - len(x)), (0, 0), (0, 0))) for x in words])
    known = jnp.arange(8)[None, :] < jnp.array(LENGTHS)[:, None]

    @jax.jit
    def run(model, states):
        features = jnp.where(known[..., None], model.features(states, known), 9.0)
        return model(features, jnp.array(LENGTHS))

    got = run(ours, jnp.asarray(right))
    for one, want in zip(got, (video.numpy(), audio.numpy())):
        assert np.abs(one - want).max() / np.abs(want).max() <= 1e-5


@pytest.mark.parametrize("version", FULL)
def test_full_size_conversion_accounts_for_every_tensor(version):
    config = getattr(ConnectorsConfig, version)()
    with torch.device("meta"):
        theirs = LTX2TextConnectors(rope_type="split", **FULL[version])
    assert ltx2_connectors.config(dict(theirs.config), "bfloat16") == config
    tensors = {k: Named(k, tuple(v.shape)) for k, v in theirs.state_dict().items()}
    targets = checkpoints.names(checkpoints.abstract(LTX2Connectors, config))
    plan = make_plan("connectors", ltx2_connectors.DIFFUSERS, tensors, targets)
    assert not plan.problems


class Named:
    """A source tensor without values."""

    dtype = np.dtype(np.float32)

    def __init__(self, name, shape):
        self.name, self.shape = name, shape


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"rope_type": "interleaved"}, "rope_type='interleaved'; supported is 'split'"),
        ({"video_gated_attn": True}, "audio_gated_attn=False; supported is True"),
        ({"audio_connector_num_learnable_registers": None}, "no learnable registers"),
    ],
)
def test_connectors_of_another_make_are_refused(changes, message):
    with torch.device("meta"):
        source = dict(LTX2TextConnectors(**V2).config)
    with pytest.raises(ValueError, match=message):
        ltx2_connectors.config({**source, **changes}, "float32")
