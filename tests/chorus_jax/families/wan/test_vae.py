"""The Wan VAE: parity with diffusers, streams, memory, sizes, converter tables."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from flax import nnx

from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from convert import wan_vae as tables

SIZES = {
    "four_frames": dict(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 2, 2, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
    ),
    "two_frames": dict(
        base_dim=6,
        z_dim=3,
        dim_mult=[1, 3],
        num_res_blocks=2,
        temperal_downsample=[True],
    ),
}
CASES = [*(("four_frames", frames) for frames in (9, 17)), ("two_frames", 9)]

# Many shapes are compiled here and each is run once or twice.
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
decode, decode_at_once = quick(WanVAE.decode), quick(WanVAE.decode_at_once)
posterior, posterior_at_once = quick(WanVAE.posterior), quick(WanVAE.posterior_at_once)


def reference(**sizes):
    """A VAE of diffusers, random weights that keep activations at a scale of one."""
    channels = sizes["z_dim"]
    statistics = dict(
        latents_mean=[0.3 * i - 0.5 for i in range(channels)],
        latents_std=[1.0 + 0.2 * i for i in range(channels)],
    )
    torch.manual_seed(0)
    model = AutoencoderKLWan(**sizes, **statistics)
    for name, weight in model.named_parameters():
        fan_in = weight[0].numel()
        mean, std = (1.0, 0.3) if name.endswith("gamma") else (0.0, fan_in**-0.5)
        torch.nn.init.normal_(weight, mean, 0.1 if name.endswith("bias") else std)
    return model


def parameters(model):
    flat = nnx.to_flat_state(nnx.state(model))
    return {".".join(map(str, path)): value for path, value in flat}


@pytest.fixture
def pair(request, converted):
    theirs = reference(**SIZES[request.param])
    config = tables.config(dict(theirs.config), "float32")
    return converted(WanVAE, config, tables.diffusers(config), theirs), theirs


def error(ours, theirs):
    assert ours.shape == theirs.shape
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


def first(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1))


def last(x):
    return np.moveaxis(x.numpy(), 1, -1)


def video(frames, seed=0):
    return jax.random.uniform(
        jax.random.key(seed), (2, frames, 16, 24, 3), minval=-1, maxval=1
    )


def latents(vae, frames, seed=0):
    grid = vae.config.latent_shape(frames, 16, 24)
    shape = (2, *grid, vae.config.latent_channels)
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("pair, frames", CASES, indirect=["pair"])
def test_encode_equals_diffusers(pair, frames):
    ours, theirs = pair
    x = video(frames)
    expected = theirs.encode(first(x)).latent_dist
    for encode in (posterior, posterior_at_once):
        found = encode(ours, x)
        assert error(found.mean, last(expected.mean)) <= 1e-5
        assert error(found.log_variance, last(expected.logvar)) <= 1e-5


@pytest.mark.parametrize("pair, frames", CASES, indirect=["pair"])
def test_decode_equals_diffusers(pair, frames):
    ours, theirs = pair
    x = latents(ours, frames)
    mean, std = (np.array(theirs.config[f"latents_{x}"]) for x in ("mean", "std"))
    raw = torch.tensor(np.moveaxis(np.asarray(x) * std + mean, -1, 1)).float()
    expected = last(theirs.decode(raw).sample)
    for run in (decode, decode_at_once):
        assert error(run(ours, x), expected) <= 1e-5


@pytest.mark.parametrize("pair", ["four_frames"], indirect=True)
def test_encode_gives_the_normalised_mean(pair):
    ours, theirs = pair
    x = video(9)
    mean, std = (np.array(theirs.config[f"latents_{x}"]) for x in ("mean", "std"))
    expected = (last(theirs.encode(first(x)).latent_dist.mean) - mean) / std
    found = quick(WanVAE.encode)(ours, x)
    assert error(found, expected) <= 1e-5
    assert error(ours.denormalise(found), expected * std + mean) <= 1e-5


@pytest.mark.parametrize("pair, frames", CASES[1:], indirect=["pair"])
def test_streams_equal_one_shot(pair, frames):
    vae, _ = pair
    x, z = video(frames, seed=1), latents(vae, frames, seed=1)
    np.testing.assert_allclose(decode(vae, z), decode_at_once(vae, z), atol=1e-5)
    streamed, whole = posterior(vae, x), posterior_at_once(vae, x)
    np.testing.assert_allclose(streamed.mean, whole.mean, atol=1e-5)


@pytest.mark.parametrize("pair", ["four_frames"], indirect=True)
def test_the_future_does_not_change_the_past(pair):
    vae, _ = pair
    x, z = video(9), latents(vae, 9)
    before, after = (decode(vae, y) for y in (z, z.at[:, -1].set(7.0)))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    before, after = (posterior(vae, y).mean for y in (x, x.at[:, -1].set(1.0)))
    np.testing.assert_array_equal(before[:, :2], after[:, :2])


@pytest.mark.parametrize("pair", ["two_frames"], indirect=True)
def test_decode_stream_gives_the_frames_of_each_latent_frame(pair):
    vae, _ = pair
    z = latents(vae, 9)
    groups = list(vae.decode_stream(z))
    assert [x.shape[1] for x in groups] == [1, 2, 2, 2, 2]
    np.testing.assert_allclose(
        jnp.concatenate(groups, axis=1), decode_at_once(vae, z), atol=1e-5
    )


@pytest.mark.parametrize("pair", SIZES, indirect=True)
def test_a_past_keeps_its_shapes(pair):
    vae, _ = pair
    z = latents(vae, 5)[:, :1]
    start = jax.eval_shape(lambda: vae.decode_step(z, None)[1])
    after = jax.eval_shape(lambda past: vae.decode_step(z, past)[1], start)
    assert start == after


@pytest.mark.parametrize("run", ["decode", "encode"])
def test_memory_of_a_stream_does_not_grow_with_the_video(run):
    vae = tiny()

    def scratch(frames):
        video = (1, 1 + 2 * (frames - 1), 16, 16, 3)
        shape = video if run == "encode" else (1, frames, 8, 8, 2)
        x = jax.ShapeDtypeStruct(shape, jnp.float32)
        compiled = quick(getattr(WanVAE, run)).lower(vae, x).compile()
        memory = compiled.memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    grown = scratch(33) - scratch(3)
    assert grown <= 4096, f"30 more latent frames need {grown} bytes more"


@cache
def tiny(dtype="float32"):
    """A VAE that compresses 2x2x2, random weights."""
    config = WanVAEConfig(
        width=4,
        multipliers=(1, 2),
        depth=1,
        halve_time=(True,),
        latents_mean=(0.0, 0.5),
        latents_std=(1.0, 2.0),
        dtype=dtype,
    )
    draw = np.random.default_rng(0).normal

    def fill(x):
        scale = np.prod(x.shape[:-1]) ** -0.5 if x.ndim > 1 else 0.3
        return jnp.asarray(draw(size=x.shape) * scale, x.dtype)

    return jax.tree.map(fill, nnx.eval_shape(lambda: WanVAE(config, rngs=nnx.Rngs(0))))


def test_bfloat16_is_near_float32():
    coarse, fine = tiny("bfloat16"), tiny("float32")
    z = jax.random.normal(jax.random.key(0), (1, 3, 4, 4, 2))
    found, expected = (decode_at_once(vae, z) for vae in (coarse, fine))
    assert found.dtype == jnp.bfloat16
    assert jax.eval_shape(WanVAE.encode, coarse, expected).dtype == jnp.float32
    assert error(found.astype(jnp.float32), np.asarray(expected)) <= 0.05


def test_gradients_reach_every_weight():
    vae = tiny()
    x = jax.random.uniform(jax.random.key(0), (1, 5, 8, 8, 3), minval=-0.5, maxval=0.5)

    def loss(vae):
        posterior = vae.posterior_at_once(x)
        restored = vae.decode_at_once(vae.normalise(posterior.mean))
        return jnp.square(restored - x).mean() + posterior.log_variance.mean()

    gradients = parameters(quick(jax.grad(loss))(vae))
    dead = [name for name, value in gradients.items() if not jnp.any(value[...])]
    assert not dead, dead


@pytest.mark.parametrize(
    "shape, message",
    [
        ((4, 16, 16), "frames must be 1 . a multiple of 2, got 4; the nearest: 3 or 5"),
        ((0, 16, 16), "frames must be .* got 0; the nearest: 1"),
        ((5, 17, 16), "height must be a multiple of 2, got 17; the nearest: 16 or 18"),
        ((5, 16, 1), "width must be a multiple of 2, got 1; the nearest: 2"),
    ],
)
def test_sizes_that_do_not_divide(shape, message):
    vae = tiny()
    x = jax.ShapeDtypeStruct((1, *shape, 3), jnp.float32)
    for encode in (vae.encode, vae.posterior_at_once):
        with pytest.raises(ValueError, match=message):
            jax.eval_shape(encode, x)


def test_configs_that_contradict_themselves():
    with pytest.raises(ValueError, match="halve_time"):
        WanVAEConfig(4, (1, 2), 1, (), (0.0,), (1.0,))
    with pytest.raises(ValueError, match="latents_std"):
        WanVAEConfig(4, (1, 2), 1, (True,), (0.0,), (1.0, 2.0))


@pytest.fixture(scope="module")
def full():
    with torch.device("meta"):
        return AutoencoderKLWan()


def test_tables_cover_the_published_vae(full):
    config = WanVAEConfig.wan21()
    assert tables.config(dict(full.config), "bfloat16") == config
    left = parameters(nnx.eval_shape(lambda: WanVAE(config, rngs=nnx.Rngs(0))))
    tensors = {name: tuple(x.shape) for name, x in full.state_dict().items()}
    for rule in tables.diffusers(config):
        if rule.source not in tensors:
            continue
        there = rule.fix.there(np.broadcast_to(np.int8(0), tensors.pop(rule.source)))
        assert there.shape == left.pop(rule.target).shape, rule
    assert not tensors and not left


def test_fixes_have_inverses():
    theirs = reference(**SIZES["two_frames"])
    config, tensors = tables.config(dict(theirs.config), "float32"), theirs.state_dict()
    for rule in tables.diffusers(config):
        if rule.source in tensors:
            x = tensors[rule.source].numpy()
            np.testing.assert_array_equal(rule.fix.back(rule.fix.there(x)), x)


def test_original_names_give_the_same_parameters(full):
    config = WanVAEConfig.wan21()
    layouts = (tables.original(config), tables.diffusers(config))
    original, diffusers = ({x.target: x for x in rules} for rules in layouts)
    used = {x.target for x in layouts[1] if x.source in full.state_dict()}
    names = {original[target].source: target for target in used}
    renamed = convert_wan_vae_to_diffusers(names)
    assert renamed == {diffusers[target].source: target for target in used}
    assert all(original[target].fix is diffusers[target].fix for target in used)
    assert original.keys() == diffusers.keys()


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(is_residual=True), "is_residual=True"),
        (dict(patch_size=2), "patch_size=2"),
        (dict(decoder_base_dim=256), "decoder_base_dim=256"),
        (dict(attn_scales=[0.5]), "attn_scales"),
        (dict(z_dim=48), "z_dim=48"),
    ],
)
def test_other_vaes_are_refused(full, change, message):
    with pytest.raises(ValueError, match=message):
        tables.config(dict(full.config) | change, "float32")


def test_incomplete_configs_are_refused():
    with pytest.raises(ValueError, match="lacks dim_mult"):
        tables.config(dict(base_dim=8), "float32")
