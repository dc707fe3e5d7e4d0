"""The LTX-2 transformer against diffusers'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import LTX2VideoTransformer3DModel

from chorus_jax import checkpoints
from chorus_jax.families.forward import evaluate
from chorus_jax.families.ltx2.conditions import AudioVideoConditions
from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.guidance import JointGuidance, StreamScales
from chorus_jax.families.ltx2.positions import AudioVideoScale
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.families.ltx2.times import times_of
from chorus_jax.families.ltx2.transformer import LTX2DiT
from convert import ltx2
from convert.plan import make_plan

TINY = {
    "in_channels": 6,
    "out_channels": 6,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "cross_attention_dim": 32,
    "audio_in_channels": 5,
    "audio_out_channels": 5,
    "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 8,
    "audio_cross_attention_dim": 16,
    "num_layers": 3,
    "caption_channels": 20,
    "rope_type": "split",
    "perturbed_attn": True,
}
V23 = {
    "gated_attn": True,
    "audio_gated_attn": True,
    "cross_attn_mod": True,
    "audio_cross_attn_mod": True,
    "use_prompt_embeddings": False,
}
VERSIONS = {
    "2.0": {},
    "2.3": V23,
    "gates at 2": {"cross_attn_timestep_scale_multiplier": 2000},
}


def relative(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def reference(**changes):
    torch.manual_seed(0)
    model = LTX2VideoTransformer3DModel(**{**TINY, **changes}).eval()
    for parameter in model.parameters():
        # Fresh norms are all ones and fresh biases zeros: they would hide a mix-up.
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def inputs(version, batch=2, grid=(3, 4, 5), sound=7):
    """Video, audio, timesteps, and the text of both streams."""
    torch.manual_seed(1)
    widths = (32, 16) if version == "2.3" else (20, 20)
    return (
        torch.randn(batch, *grid, 6),
        torch.randn(batch, sound, 5),
        1000 * torch.rand(batch),
        tuple(torch.randn(batch, 9, width) for width in widths),
    )


def run(theirs, video, audio, timestep, text, **options):
    b, f, h, w, _ = video.shape
    out = theirs(
        video.flatten(1, 3),
        audio,
        *text,
        timestep,
        sigma=timestep,
        num_frames=f,
        height=h,
        width=w,
        fps=24.0,
        audio_num_frames=audio.shape[1],
        return_dict=False,
        **options,
    )
    return {"video": out[0].reshape(b, f, h, w, -1).numpy(), "audio": out[1].numpy()}


def ours(x):
    return jax.tree.map(lambda x: jnp.asarray(x.numpy()), x)


def model_of(theirs, converted):
    config = ltx2.config(dict(theirs.config), "float32")
    return converted(LTX2DiT, config, ltx2.DIFFUSERS, theirs)


@pytest.mark.parametrize("version", VERSIONS)
def test_equals_diffusers(version, converted):
    theirs = reference(**VERSIONS[version])
    video, audio, timestep, text = inputs(version)
    want = run(theirs, video, audio, timestep, text)
    got = jax.jit(LTX2DiT.__call__, static_argnums=4)(
        model_of(theirs, converted),
        {"video": ours(video), "audio": ours(audio)},
        ours(timestep),
        Streams(*ours(text)),
        AudioVideoScale(),
    )
    for stream in want:
        assert relative(got[stream], want[stream]) <= 1e-5


def mixed(passes, latents, sigma, scales):
    """What diffusers' pipeline makes of its passes, in clean estimates."""
    clean = [latents - sigma * x for x in passes]
    prompt, negative, perturbed, apart = clean
    cfg, stg, joint, rescale = scales
    total = prompt + (cfg - 1) * (prompt - negative)
    total = total + stg * (prompt - perturbed) + (joint - 1) * (prompt - apart)
    share = prompt.std(ddof=1) / total.std(ddof=1)
    total = rescale * total * share + (1 - rescale) * total
    return (latents - total) / sigma


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_four_passes_give_the_velocity_of_diffusers(version, converted):
    theirs = reference(**VERSIONS[version])
    model = model_of(theirs, converted)
    video, audio, timestep, text = inputs(version, batch=1)
    other = tuple(x + torch.randn_like(x) for x in text)
    passes = [
        run(theirs, video, audio, timestep, words, **options)
        for words, options in (
            (text, {}),
            (other, {}),
            (text, {"spatio_temporal_guidance_blocks": [1]}),
            (text, {"isolate_modalities": True}),
        )
    ]
    numbers = {"video": (3.0, 1.0, 2.5, 0.7), "audio": (7.0, 0.5, 3.0, 0.4)}
    sigma = timestep.numpy() / 1000
    scale = lambda name: StreamScales(*(jnp.full(1, x) for x in numbers[name]))
    asked = JointGuidance(
        Streams(scale("video"), scale("audio")), jnp.array([False, True, False])
    )
    words = [jnp.concatenate(ours(pair)) for pair in zip(text, other)]
    read = model.text(Streams(*words))
    conditions = AudioVideoConditions(
        read,
        model.values(read),
        times_of(Streams(*(end.times for end in model.ends)), ours(timestep)),
        jnp.asarray(sigma),
        model.positions((3, 4, 5), 7, AudioVideoScale()),
        asked,
    )
    latents = {"video": ours(video), "audio": ours(audio)}
    got, _ = evaluate(model.forward(conditions, latents, jnp.zeros(1, int)))
    for stream, x in latents.items():
        each = [one[stream] for one in passes]
        assert min(np.abs(each[0] - one).max() for one in each[1:]) > 1e-3
        want = mixed(each, np.asarray(x), sigma, numbers[stream])
        assert relative(got[stream], want) <= 3e-5


FULL = {
    "b19": {},
    "b22": V23,
}


@pytest.mark.parametrize("config", FULL)
def test_full_size_conversion_accounts_for_every_tensor(config):
    ours = getattr(LTX2Config, config)()
    with torch.device("meta"):
        theirs = LTX2VideoTransformer3DModel(rope_type="split", **FULL[config])
    assert ltx2.config(dict(theirs.config), "bfloat16") == ours
    targets = checkpoints.names(checkpoints.abstract(LTX2DiT, ours))
    state = {k: Named(k, tuple(v.shape)) for k, v in theirs.state_dict().items()}
    assert not make_plan("transformer", ltx2.DIFFUSERS, state, targets).problems
    assert sum(x.size for x in targets.values()) == sum(
        x.numel() for x in theirs.parameters()
    )


class Named:
    """A source tensor without values."""

    dtype = np.dtype(np.float32)

    def __init__(self, name, shape):
        self.name, self.shape = name, shape


@pytest.mark.parametrize(
    "field, value",
    [
        ("rope_type", "interleaved"),
        ("ff_bias", False),
        ("use_prompt_adaln_single", False),
        ("audio_gated_attn", True),
    ],
)
def test_a_transformer_of_another_make_is_refused(field, value):
    source = {**reference(num_layers=1).config, field: value}
    with pytest.raises(ValueError, match=f"{field}={value!r}; supported is"):
        ltx2.config(source, "float32")
