"""The LTX-Video transformer against diffusers'."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import LTXVideoTransformer3DModel
from diffusers.models.transformers.transformer_ltx import LTXVideoRotaryPosEmbed

from chorus_jax import checkpoints
from chorus_jax.families.forward import evaluate
from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.positions import PixelScale, position_table
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.nets.guidance import Perturbation
from convert import ltx
from convert.plan import make_plan

TINY = {
    "in_channels": 6,
    "out_channels": 6,
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "cross_attention_dim": 32,
    "num_layers": 3,
    "caption_channels": 20,
}
VARIANTS = {
    "2 channels that do not turn": {},
    "4 channels that do not turn": {
        "num_attention_heads": 1,
        "attention_head_dim": 28,
        "cross_attention_dim": 28,
        "num_layers": 1,
    },
    "all channels turn": {"attention_head_dim": 18, "cross_attention_dim": 36},
}
SCALE = PixelScale(8, 32, 25.0)


def relative(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def reference(**changes):
    torch.manual_seed(0)
    model = LTXVideoTransformer3DModel(**{**TINY, **changes}).eval()
    for parameter in model.parameters():
        # Fresh norms are all ones and fresh biases zeros: they would hide a mix-up.
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def run(theirs, latents, timestep, text, lengths, **positions):
    b, c, f, h, w = latents.shape
    mask = torch.arange(text.shape[1])[None, :] < torch.tensor(lengths)[:, None]
    out = theirs(
        latents.flatten(2).transpose(1, 2),
        text,
        timestep,
        mask,
        num_frames=f,
        height=h,
        width=w,
        return_dict=False,
        **positions,
    )[0]
    return out.reshape(b, f, h, w, -1).numpy()


def channels_last(x):
    return jnp.asarray(x.permute(0, 2, 3, 4, 1).numpy())


def model_of(theirs, converted, **changes):
    config = dataclasses.replace(ltx.config(theirs.config, "float32"), **changes)
    return converted(LTXDiT, config, ltx.DIFFUSERS, theirs)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("per_token", [False, True])
def test_equals_diffusers(variant, per_token, converted):
    theirs = reference(**VARIANTS[variant])
    latents = torch.randn(2, 6, 3, 4, 5)
    shape = (2, 60) if per_token else (2,)
    timestep, lengths = 1000 * torch.rand(shape), [7, 3]
    text = torch.randn(2, 9, 20)
    want = run(
        theirs,
        latents,
        timestep,
        text,
        lengths,
        rope_interpolation_scale=(0.32, 32, 32),
    )
    got = jax.jit(LTXDiT.__call__, static_argnums=5)(
        model_of(theirs, converted),
        channels_last(latents),
        jnp.asarray(timestep.numpy()),
        jnp.asarray(text.numpy()),
        jnp.array(lengths),
        SCALE,
    )
    assert relative(got, want) <= 1e-5


class ValuesOnly:
    """An attention of diffusers whose tokens see only themselves."""

    def __call__(self, attn, hidden_states, *_, **__):
        return attn.to_out[0](attn.to_v(hidden_states))


def test_a_perturbed_pass_is_one_whose_layers_do_not_attend(converted):
    theirs = reference()
    model = model_of(theirs, converted)
    latents, text = torch.randn(1, 6, 2, 4, 4), torch.randn(1, 5, 20)
    timestep = torch.tensor([600.0])
    scale = dict(rope_interpolation_scale=(0.32, 32, 32))
    plain = run(theirs, latents, timestep, text, [5], **scale)
    theirs.transformer_blocks[1].attn1.processor = ValuesOnly()
    perturbed = run(theirs, latents, timestep, text, [5], **scale)
    twice, grid = jnp.asarray(np.repeat(text.numpy(), 2, axis=0)), (2, 4, 4)
    asked = Perturbation(
        jnp.array([1.5]), jnp.zeros(1), jnp.array([False, True, False])
    )
    conditions = StreamConditions(
        model.context(twice, jnp.array([5, 5])),
        model.times(jnp.asarray(timestep.numpy())),
        position_table(grid, model.config.width, SCALE),
        None,
        perturbation=asked,
    )
    forward = model.forward(conditions, channels_last(latents), jnp.zeros(1, int))
    want = plain + 1.5 * (plain - perturbed)
    assert np.abs(plain - perturbed).max() > 1e-3
    assert relative(evaluate(forward)[0], want) <= 1e-5


def test_what_stands_after_the_prompt_is_not_read(converted):
    model = model_of(reference(num_layers=1), converted)
    args = (jnp.ones((1, 2, 2, 2, 6)), jnp.array([500.0]))
    text = np.random.default_rng(0).normal(size=(1, 9, 20)).astype(np.float32)
    other = text.copy()
    other[:, 5:] = 7
    one, two = (
        model(*args, jnp.asarray(x), jnp.array([5]), SCALE) for x in (text, other)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("width", [32, 2048, 4096])
@pytest.mark.parametrize("causal", [False, True])
def test_positions_are_those_of_diffusers(width, causal):
    grid, rope = (3, 5, 7), LTXVideoRotaryPosEmbed(width)
    places = dict(num_frames=3, height=5, width=7)
    if causal:
        steps = torch.meshgrid(*map(torch.arange, grid), indexing="ij")
        coordinates = torch.stack(steps).flatten(1)[None].float()
        coordinates *= torch.tensor([8, 32, 32])[:, None]
        seconds = (coordinates[:, 0] + 1 - 8).clamp(min=0) * (1.0 / 25)
        coordinates[:, 0] = seconds
        theirs = rope(torch.zeros(1, 1), video_coords=coordinates)
    else:
        places["rope_interpolation_scale"] = (8 / 25, 32, 32)
        theirs = rope(torch.zeros(1, 1), **places)
    scale = dataclasses.replace(SCALE, causal=causal)
    for ours, want in zip(position_table(grid, width, scale), theirs):
        off = np.abs(np.asarray(ours) - want[0, :, ::2].numpy())
        # One rounding of the highest angle, 15708, is a thousandth: few powers have it.
        assert off.max() <= 2e-3 and (off > 1e-5).mean() <= 0.02


def test_the_first_frame_stands_alone_with_causal_positions():
    seconds = [
        PixelScale(8, 32, 25.0, causal).places((4, 1, 1))[:, 0] * 20
        for causal in (False, True)
    ]
    np.testing.assert_allclose(seconds[0], np.array([0, 8, 16, 24]) / 25, rtol=1e-6)
    np.testing.assert_allclose(seconds[1], np.array([0, 1, 9, 17]) / 25, rtol=1e-6)


@pytest.mark.parametrize(
    "config, count", [("b2", 1_923_385_472), ("b13", 13_042_569_344)]
)
def test_full_size_conversion_accounts_for_every_tensor(config, count):
    ours = getattr(LTXConfig, config)()
    with torch.device("meta"):
        theirs = LTXVideoTransformer3DModel(
            num_attention_heads=ours.heads,
            attention_head_dim=ours.head_width,
            cross_attention_dim=ours.width,
            num_layers=ours.depth,
        )
    assert sum(x.numel() for x in theirs.parameters()) == count
    targets = checkpoints.names(checkpoints.abstract(LTXDiT, ours))
    state = {k: Named(k, tuple(v.shape)) for k, v in theirs.state_dict().items()}
    assert not make_plan("transformer", ltx.DIFFUSERS, state, targets).problems
    assert sum(x.size for x in targets.values()) == count


class Named:
    """A source tensor without values."""

    dtype = np.dtype(np.float32)

    def __init__(self, name, shape):
        self.name, self.shape = name, shape


def test_a_transformer_of_another_make_is_refused():
    with pytest.raises(ValueError, match="qk_norm='layer_norm'; supported is"):
        ltx.config({**reference().config, "qk_norm": "layer_norm"}, "float32")
