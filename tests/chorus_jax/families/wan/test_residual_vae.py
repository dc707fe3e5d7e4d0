"""The VAE of Wan 2.2: parity with diffusers, whole and streamed, sizes, tables."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders.autoencoder_kl_wan import (
    AvgDown3D,
    DupUp3D,
    patchify,
)
from flax import nnx

from chorus_jax.families.wan.resampling import (
    from_pixel_patches,
    means,
    repeats,
    to_pixel_patches,
)
from chorus_jax.families.wan.residual_vae import WanResidualVAE
from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from convert import diffusers_configs
from convert import wan_residual_vae as tables

PUBLISHED = dict(
    base_dim=160,
    decoder_base_dim=256,
    z_dim=48,
    is_residual=True,
    in_channels=12,
    out_channels=12,
    patch_size=2,
    scale_factor_spatial=16,
    latents_mean=list(WanResidualVAEConfig.wan22().latents_mean),
    latents_std=list(WanResidualVAEConfig.wan22().latents_std),
)
TINY = dict(
    base_dim=8,
    decoder_base_dim=12,
    z_dim=4,
    dim_mult=[1, 2, 2, 1],
    num_res_blocks=1,
    is_residual=True,
    in_channels=12,
    out_channels=12,
    patch_size=2,
    latents_mean=[0.3 * i - 0.5 for i in range(4)],
    latents_std=[1.0 + 0.2 * i for i in range(4)],
)

WHOLE = TINY | {"temperal_downsample": [False, True, True]}

quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
decode = quick(WanResidualVAE.decode)
decode_at_once = quick(WanResidualVAE.decode_at_once)
posterior = quick(WanResidualVAE.posterior)
posterior_at_once = quick(WanResidualVAE.posterior_at_once)


@pytest.fixture
def pair(converted):
    torch.manual_seed(0)
    theirs = AutoencoderKLWan(**TINY)
    for name, weight in theirs.named_parameters():
        fan_in = weight[0].numel()
        mean, std = (1.0, 0.3) if name.endswith("gamma") else (0.0, fan_in**-0.5)
        torch.nn.init.normal_(weight, mean, 0.1 if name.endswith("bias") else std)
    config = tables.config(dict(theirs.config), "float32")
    rules = tables.diffusers(config)
    return converted(WanResidualVAE, config, rules, theirs), theirs


def error(ours, theirs):
    assert ours.shape == theirs.shape
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


def first(x):
    return torch.tensor(np.moveaxis(np.asarray(x), -1, 1))


def last(x):
    return np.moveaxis(x.numpy(), 1, -1)


def video(frames, seed=0):
    shape = (2, frames, 32, 48, 3)
    return jax.random.uniform(jax.random.key(seed), shape, minval=-1, maxval=1)


def latents(frames, seed=0):
    shape = (2, 1 + (frames - 1) // 4, 2, 3, 4)
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("frames", [1, 13])
def test_encode_equals_diffusers(pair, frames):
    ours, theirs = pair
    expected = theirs.encode(first(video(frames))).latent_dist
    for encode in (posterior, posterior_at_once):
        made = encode(ours, video(frames))
        assert error(made.mean, last(expected.mean)) <= 1e-5
        assert error(made.log_variance, last(expected.logvar)) <= 1e-5


@pytest.mark.parametrize("frames", [1, 13])
def test_decode_equals_diffusers(pair, frames):
    ours, theirs = pair
    x = latents(frames)
    mean, std = (np.array(TINY[f"latents_{x}"]) for x in ("mean", "std"))
    raw = torch.tensor(np.moveaxis(np.asarray(x) * std + mean, -1, 1)).float()
    expected = last(theirs.decode(raw).sample)
    for run in (decode, decode_at_once):
        assert error(run(ours, x), expected) <= 1e-5
    groups = list(ours.decode_stream(x))
    assert [x.shape[1] for x in groups] == [1] + [4] * (x.shape[1] - 1)
    assert error(jnp.concatenate(groups, axis=1), expected) <= 1e-5


def test_the_future_does_not_change_the_past(pair):
    vae, _ = pair
    z = latents(9)
    before, after = (decode(vae, y) for y in (z, z.at[:, -1].set(7.0)))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])


@pytest.mark.parametrize("time, frames", [(1, 3), (2, 1), (2, 4), (2, 5)])
def test_shortcuts_equal_diffusers(time, frames):
    x = jax.random.normal(jax.random.key(0), (2, frames, 4, 6, 8))
    theirs = AvgDown3D(8, 4, time, 2)(first(x))
    np.testing.assert_allclose(means(x, 4, time, 2), last(theirs), atol=1e-6)
    for start in (True, False):
        theirs = DupUp3D(8, 4, time, 2)(first(x), first_chunk=start)
        np.testing.assert_array_equal(repeats(x, 4, time, 2, start), last(theirs))


def test_the_column_is_the_slower_offset_within_a_patch():
    x = video(2)
    patches = to_pixel_patches(x, 2)
    np.testing.assert_array_equal(patches, last(patchify(first(x), 2)))
    np.testing.assert_array_equal(patches[..., 1], x[:, :, 1::2, ::2, 0])
    np.testing.assert_array_equal(from_pixel_patches(patches, 2), x)


def test_tables_cover_the_published_vae():
    with torch.device("meta"):
        theirs = AutoencoderKLWan(**PUBLISHED)
    config = WanResidualVAEConfig.wan22()
    assert tables.config(dict(theirs.config), "bfloat16") == config
    assert (config.time_compression, config.space_compression) == (4, 16)
    module = nnx.eval_shape(lambda: WanResidualVAE(config, rngs=nnx.Rngs(0)))
    flat = nnx.to_flat_state(nnx.state(module))
    ours = {".".join(map(str, path)): value for path, value in flat}
    tensors = {name: tuple(x.shape) for name, x in theirs.state_dict().items()}
    for rule in tables.diffusers(config):
        if rule.source in tensors:
            shape = tensors.pop(rule.source)
            there = rule.fix.there(np.broadcast_to(np.int8(0), shape))
            assert there.shape == ours.pop(rule.target).shape, rule
    assert not tensors and not ours


def test_an_exported_config_is_read_again():
    config = tables.config(WHOLE, "float32")
    assert tables.config(diffusers_configs.residual_vae(config), "float32") == config


@pytest.mark.parametrize(
    "change, message",
    [
        ({"patch_size": None}, "lacks patch_size"),
        ({"in_channels": 3}, "in_channels=3; supported is 12"),
        ({"z_dim": 16}, "z_dim=16; supported is 4"),
    ],
)
def test_other_vaes_are_refused(change, message):
    source = WHOLE | change
    with pytest.raises(ValueError, match=message):
        tables.config(source, "float32")


def test_sizes_that_do_not_divide():
    with pytest.raises(ValueError, match="height must be a multiple of 16, got 712"):
        WanResidualVAEConfig.wan22().latent_shape(121, 712, 1280)
    assert WanResidualVAEConfig.wan22().latent_shape(121, 704, 1280) == (31, 44, 80)
