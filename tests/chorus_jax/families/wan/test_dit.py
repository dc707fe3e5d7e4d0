"""The Wan transformer against diffusers', whole, block by block and at full size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import WanTransformer3DModel
from flax import nnx

from chorus_jax import checkpoints
from chorus_jax.families.forward import evaluate
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.nets.rotary import rotary_table
from chorus_jax.nets.token_attention import Context
from convert import wan
from convert.plan import make_plan

TINY = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 3,
    "attention_head_dim": 24,
    "in_channels": 4,
    "out_channels": 4,
    "text_dim": 20,
    "freq_dim": 32,
    "ffn_dim": 40,
    "num_layers": 3,
}
VARIANTS = {
    "text": {},
    "odd heads": {"num_attention_heads": 1, "attention_head_dim": 14, "num_layers": 1},
    "48 channels": {"in_channels": 48, "out_channels": 48, "num_layers": 2},
    "patch 2 2 1": {"patch_size": (2, 2, 1)},
    "no cross norm": {"cross_attn_norm": False},
    "image": {"in_channels": 9, "image_dim": 18, "added_kv_proj_dim": 72},
}


def relative(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def reference(**changes):
    torch.manual_seed(0)
    model = WanTransformer3DModel(**{**TINY, **changes}).eval()
    for parameter in model.parameters():
        # Fresh norms are all ones and fresh biases zeros: they would hide a mix-up.
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model


def inputs(model, text_rows=512):
    c, (pf, ph, pw) = model.config, model.config.patch_size
    latents = torch.randn(2, c.in_channels, 3 * pf, 3 * ph, 5 * pw)
    image = torch.randn(2, 7, c.image_dim) if c.image_dim else None
    return (
        latents,
        torch.tensor([999.0, 251.0]),
        torch.randn(2, text_rows, c.text_dim),
        image,
    )


def ours(x):
    return None if x is None else jnp.asarray(x.numpy())


def channels_last(x):
    return ours(x.permute(0, 2, 3, 4, 1))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("per_token", [False, True])
def test_equals_diffusers(variant, per_token, converted):
    theirs = reference(**VARIANTS[variant])
    model = converted(
        WanDiT, wan.config(theirs.config, "float32"), wan.DIFFUSERS, theirs
    )
    latents, timestep, text, image = inputs(theirs)
    if per_token:
        timestep = 1000 * torch.rand(2, 3 * 3 * 5)
    want = theirs(latents, timestep, text, image, return_dict=False)[0]
    got = jax.jit(lambda m, *x: m(*x))(
        model, channels_last(latents), ours(timestep), ours(text), ours(image)
    )
    assert relative(got, channels_last(want)) <= 1e-5


def test_the_places_of_two_images_equal_diffusers(converted):
    """FLF2V: the tokens of the first and the last image have learnt positions."""
    theirs = reference(**VARIANTS["image"], pos_embed_seq_len=14)
    config = wan.config(theirs.config, "float32")
    model = converted(WanDiT, config, wan.DIFFUSERS, theirs)
    latents, timestep, text, _ = inputs(theirs)
    pictures = torch.randn(2 * 2, 7, 18)  # theirs: the images of all rows, one by one
    want = theirs(latents, timestep, text, pictures, return_dict=False)[0]
    got = jax.jit(lambda m, *x: m(*x))(
        model,
        channels_last(latents),
        ours(timestep),
        ours(text),
        ours(pictures.reshape(2, 14, 18)),
    )
    assert relative(got, channels_last(want)) <= 1e-5


def test_each_block_equals_diffusers(converted):
    theirs = reference()
    model = converted(
        WanDiT, wan.config(theirs.config, "float32"), wan.DIFFUSERS, theirs
    )
    tokens, times, text = (
        torch.randn(2, 45, 72),
        torch.randn(2, 6, 72),
        torch.randn(2, 9, 72),
    )
    rotary = rotary_table((3, 3, 5), 24)
    theirs_rotary = theirs.rope(torch.zeros(1, 4, 3, 6, 10))
    for index, block in enumerate(theirs.blocks):
        want = block(tokens, text, times, theirs_rotary)
        layer = jax.tree.map(lambda x: x[index], model.layers)
        text_keys, _ = layer.cross.context(ours(text), None)
        context = Context(text_keys, jnp.zeros((2, 9)))
        got, _ = layer(ours(tokens), ours(times), rotary, context)
        assert relative(got, want) <= 1e-5


@pytest.mark.parametrize(
    "heads, mlp",
    [
        pytest.param(12, 8960, id="1.3B"),
        pytest.param(40, 13824, id="14B", marks=pytest.mark.slow),
    ],
)
def test_one_block_at_published_widths(heads, mlp, converted):
    theirs = reference(
        num_attention_heads=heads, attention_head_dim=128, ffn_dim=mlp, num_layers=1
    )
    model = converted(
        WanDiT, wan.config(theirs.config, "float32"), wan.DIFFUSERS, theirs
    )
    latents, timestep, text, _ = inputs(theirs, text_rows=16)
    want = theirs(latents, timestep, text, return_dict=False)[0]
    got = jax.jit(lambda m, *x: m(*x))(
        model, channels_last(latents), ours(timestep), ours(text)
    )
    assert relative(got, channels_last(want)) <= 1e-5


def test_original_names_give_the_same_parameters():
    fills = {}
    for layout, rules in (("diffusers", wan.DIFFUSERS), ("original", wan.ORIGINAL)):
        fills[layout] = {rule.target: rule.fix for rule in rules}
    assert fills["diffusers"] == fills["original"]


@pytest.mark.parametrize("lengths", [[5, 9], [0, 511], [512, 1], [15, 15]])
def test_collapsed_padding_gives_the_same_output(lengths, converted):
    theirs = reference()
    model = converted(
        WanDiT, wan.config(theirs.config, "float32"), wan.DIFFUSERS, theirs
    )
    latents, timestep, text, _ = inputs(theirs)
    for row, length in zip(text, lengths):
        row[length:] = 0
    want = theirs(latents, timestep, text, return_dict=False)[0]
    rows = min(512, max(lengths) + 1)
    got = collapsed(
        model,
        channels_last(latents),
        ours(timestep),
        ours(text[:, :rows]),
        jnp.array(lengths),
    )
    assert relative(got, channels_last(want)) <= 1e-5


@jax.jit
def collapsed(model, latents, timestep, text, lengths):
    rotary = rotary_table(model.grid(latents), model.config.head_width)
    given = StreamConditions(
        model.context(text, lengths), model.times(timestep), rotary, None
    )
    return evaluate(model.forward(given, latents, jnp.arange(len(latents))))[0]


@pytest.mark.parametrize("size", ["t2v_1_3b", "t2v_14b"])
def test_full_size_has_the_published_names_and_shapes(size, capsys):
    config = getattr(WanConfig, size)()
    with torch.device("meta"):
        theirs = WanTransformer3DModel(
            num_attention_heads=config.heads,
            ffn_dim=config.mlp_width,
            num_layers=config.depth,
        )
    abstract = nnx.eval_shape(lambda: WanDiT(config, rngs=nnx.Rngs(0)))
    tensors = {
        name: Named(name, tuple(x.shape)) for name, x in theirs.state_dict().items()
    }
    plan = make_plan(size, wan.DIFFUSERS, tensors, checkpoints.names(abstract))
    assert not plan.problems
    count = sum(x.size for x in jax.tree.leaves(abstract))
    assert count == sum(x.numel() for x in theirs.parameters())
    with capsys.disabled():
        print(f" {size}: {count:,} parameters", end=" ")


class Named:
    """A source tensor without values."""

    dtype = np.dtype(np.float32)

    def __init__(self, name, shape):
        self.name, self.shape = name, shape


def test_bfloat16_keeps_norms_modulation_and_time_in_float32():
    config = WanConfig(heads=2, head_width=12, depth=2, mlp_width=16, text_width=8)
    model = nnx.eval_shape(lambda: WanDiT(config, rngs=nnx.Rngs(0)))
    kept = {
        name for name, x in checkpoints.names(model).items() if x.dtype == jnp.float32
    }
    assert {name.split(".")[0] for name in kept} == {"time", "layers", "out"}
    assert all("norm" in n or n.endswith("modulation") or "time." in n for n in kept)


def test_bfloat16_output_is_near_float32():
    config = WanConfig(heads=2, head_width=24, depth=2, mlp_width=96, text_width=16)
    low = jax.jit(lambda: WanDiT(config, rngs=nnx.Rngs(0)))()
    high = jax.tree.map(lambda x: x.astype(jnp.float32), low)
    high.config = WanConfig(
        heads=2, head_width=24, depth=2, mlp_width=96, text_width=16, dtype="float32"
    )
    latents = jax.random.normal(jax.random.key(0), (1, 2, 4, 4, 16))
    text = jax.random.normal(jax.random.key(1), (1, 5, 16))
    run = jax.jit(lambda m: m(latents, jnp.array([500.0]), text))
    outputs = [run(low), run(high)]
    assert outputs[0].dtype == jnp.float32
    assert relative(outputs[0], outputs[1]) < 0.03


def test_refusals_name_what_came():
    with pytest.raises(ValueError, match="head_width=13"):
        WanConfig(heads=1, depth=1, mlp_width=4, head_width=13)
    config = WanConfig(heads=1, head_width=12, depth=1, mlp_width=4, text_width=8)
    model = nnx.eval_shape(lambda: WanDiT(config, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match=r"\(1, 5, 4\) do not divide into patch"):
        model.grid(jnp.zeros((1, 1, 5, 4, 16)))
    with pytest.raises(ValueError, match="image is given"):
        model.context(jnp.zeros((1, 2, 8)), image=jnp.zeros((1, 2, 8)))
