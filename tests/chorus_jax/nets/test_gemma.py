"""The Gemma 3 text encoder against transformers'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import Gemma3TextConfig, Gemma3TextModel

from chorus_jax.nets.gemma import GemmaConfig, GemmaEncoder
from convert import gemma

SIZES = dict(
    vocab_size=50,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=7,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    sliding_window=4,
    query_pre_attn_scalar=12,
    rope_parameters={
        "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
        "full_attention": {
            "rope_type": "linear",
            "factor": 8.0,
            "rope_theta": 1_000_000.0,
        },
    },
)
LENGTHS = (9, 5)


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    model = Gemma3TextModel(Gemma3TextConfig(**SIZES)).eval()
    for parameter in model.parameters():
        # Fresh norms are all ones: they would hide a mix-up.
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def test_all_states_equal_those_with_padding_on_the_left(theirs, converted):
    config = gemma.config(theirs.config.to_dict(), "float32")
    assert config.is_global == (False,) * 5 + (True, False) and config.stretch == 8
    model = converted(GemmaEncoder, config, gemma.RULES, theirs)
    rng = np.random.default_rng(0)
    words = [rng.integers(3, 50, length) for length in LENGTHS]
    left = np.stack([np.pad(x, (9 - len(x), 0)) for x in words])
    right = np.stack([np.pad(x, (0, 9 - len(x))) for x in words])
    out = theirs(torch.tensor(left), torch.tensor(left > 0), output_hidden_states=True)
    want = torch.stack(out.hidden_states, dim=-1).numpy()
    got = jax.jit(GemmaEncoder.__call__)(
        model, jnp.asarray(right), jnp.asarray(right > 0)
    )
    assert got.shape == want.shape == (2, 9, 16, 8)
    for row, length in enumerate(LENGTHS):
        one, other = got[row, :length], want[row, 9 - length :]
        assert np.abs(one - other).max() / np.abs(other).max() <= 1e-5
    assert np.abs(want[..., -1] - want[..., -2]).max() > 0.1


def test_its_published_size_is_read():
    old = {
        "model_type": "gemma3_text",
        "hidden_size": 3840,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "intermediate_size": 15360,
        "vocab_size": 262208,
        "sliding_window": 1024,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-6,
        "rope_local_base_freq": 10000,
        "rope_theta": 1000000.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    }
    assert gemma.config({"text_config": old}, "bfloat16") == GemmaConfig.b12()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"model_type": "gemma2"}, "is a 'gemma2'; supported is 'gemma3_text'"),
        ({"attention_bias": True}, "attention_bias=True; supported is False"),
        ({"layer_types": ["full_attention"] * 7}, "every 6th layer"),
        (
            {
                "rope_parameters": {
                    **SIZES["rope_parameters"],
                    "full_attention": {"rope_type": "yarn", "rope_theta": 1.0},
                }
            },
            "'yarn'",
        ),
    ],
)
def test_another_encoder_is_refused(theirs, changes, message):
    with pytest.raises(ValueError, match=message):
        gemma.config({**theirs.config.to_dict(), **changes}, "float32")
