"""Enlarges a video's latents in height and width, for a second pass.

Source: Lightricks/LTX-Video, ltx_video/models/autoencoders/latent_upsampler.py and
pipelines/pipeline_ltx_video.py (LTXMultiScalePipeline, adain_filter_latent);
Lightricks/LTX-2, packages/ltx-core, ltx_core/model/upsampler.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.families.ltx_vae.vae_layers import unfold
from chorus_jax.nets.causal_conv import conv_kernel
from chorus_jax.nets.layers import along_last
from chorus_jax.nets.products import exact
from chorus_jax.nets.space_split import (
    over_space,
    padding_beside,
    share_mean,
    with_halo,
)

EPSILON = 1e-5


@dataclass(frozen=True)
class UpsamplerConfig:
    """Sizes of a latent upsampler; the published ones are the defaults.

    Attributes:
        channels: channels of the latents.
        width: the width of its layers.
        depth: residual blocks before the change of size, and after it.
        groups: the number of channel groups of its norms.
        up: the factor by which height and width are multiplied.
        down: the factor by which they are divided after that.
        dtype: the dtype of weights and activations.
    """

    channels: int = 128
    width: int = 512
    depth: int = 4
    groups: int = 32
    up: int = 2
    down: int = 1
    dtype: str = "bfloat16"


class ZeroConv(nnx.Module):
    """Zero-padded convolution of size 3 along height and width, and along frames if it
    is 3D."""

    def __init__(
        self, inputs: int, outputs: int, frames: int, dtype: jnp.dtype, rngs: nnx.Rngs
    ):
        self.kernel = conv_kernel((frames, 3, 3, inputs, outputs), dtype, rngs)
        self.bias = nnx.Param(jnp.zeros(outputs, dtype), axes=(None,))

    def __call__(self, x: Float[Array, "b f h w i"]) -> Float[Array, "b f h w o"]:
        kernel = self.kernel[...]
        padding = kernel.shape[0] // 2
        y = jax.lax.conv_general_dilated(
            with_halo(x, 1, 1),
            kernel,
            window_strides=(1, 1, 1),
            padding=((padding, padding), *padding_beside(1, 1)),
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
            precision=exact(x.dtype),
        )
        return y + along_last(self.bias[...], y)


class GroupNorm(nnx.Module):
    """Group norm: mean 0 and deviation 1 of each group of channels over the whole
    video."""

    def __init__(self, width: int, groups: int, dtype: jnp.dtype):
        self.groups = groups
        self.scale = nnx.Param(jnp.ones(width, dtype), axes=(None,))
        self.bias = nnx.Param(jnp.zeros(width, dtype), axes=(None,))

    def __call__(self, x: Float[Array, "b f h w c"]) -> Float[Array, "b f h w c"]:
        groups = x.astype(jnp.float32).reshape(*x.shape[:4], self.groups, -1)
        axes = (1, 2, 3, 5)
        mean = share_mean(groups.mean(axes, keepdims=True))
        variance = share_mean(jnp.square(groups - mean).mean(axes, keepdims=True))
        y = ((groups - mean) / jnp.sqrt(variance + EPSILON)).reshape(x.shape)
        y = y * along_last(self.scale[...], y) + along_last(self.bias[...], y)
        return y.astype(x.dtype)


class UpsamplerResidual(nnx.Module):
    """Two normed convolutions beside a shortcut."""

    def __init__(self, config: UpsamplerConfig, rngs: nnx.Rngs):
        dtype, c = jnp.dtype(config.dtype), config.width
        self.conv1 = ZeroConv(c, c, 3, dtype, rngs)
        self.norm1 = GroupNorm(c, config.groups, dtype)
        self.conv2 = ZeroConv(c, c, 3, dtype, rngs)
        self.norm2 = GroupNorm(c, config.groups, dtype)

    def __call__(self, x: Float[Array, "b f h w c"]) -> Float[Array, "b f h w c"]:
        y = jax.nn.silu(self.norm1(self.conv1(x)))
        return jax.nn.silu(self.norm2(self.conv2(y)) + x)


def blurred(x: Float[Array, "b f h w c"], stride: int) -> Float[Array, "b f y x c"]:
    """Frames smoothed with a binomial filter, of which every `stride`-th pixel is
    kept."""
    if stride == 1:
        return x
    weights = jnp.array([math.comb(4, k) / 16 for k in range(5)], x.dtype)
    kernel = (weights[:, None] * weights[None])[None, :, :, None, None]
    return jax.lax.conv_general_dilated(
        with_halo(x, 2, 2),
        jnp.broadcast_to(kernel, (1, 5, 5, 1, x.shape[-1])),
        window_strides=(1, stride, stride),
        padding=((0, 0), *padding_beside(2, 2)),
        dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        feature_group_count=x.shape[-1],
        precision=exact(x.dtype),
    )


class LTXUpsampler(nnx.Module):
    """Enlarges raw latents to `up / down` times the height and width."""

    def __init__(self, config: UpsamplerConfig, *, rngs: nnx.Rngs):
        self.config = config
        dtype, c = jnp.dtype(config.dtype), config.width
        self.input = ZeroConv(config.channels, c, 3, dtype, rngs)
        self.norm = GroupNorm(c, config.groups, dtype)
        blocks = lambda: nnx.List(
            UpsamplerResidual(config, rngs) for _ in range(config.depth)
        )
        self.before = blocks()
        self.wide = ZeroConv(c, config.up**2 * c, 1, dtype, rngs)
        self.after = blocks()
        self.output = ZeroConv(c, config.channels, 3, dtype, rngs)

    def __call__(self, latents: Float[Array, "b f h w i"]) -> Float[Array, "b f y x i"]:
        down = self.config.down
        # Shares of whole strides: none of a size that strides do not divide.
        sizes = (n // down if n % down == 0 else 1 for n in latents.shape[2:4])
        return over_space(LTXUpsampler.of_share, self, *sizes, latents)

    def of_share(self, latents: Float[Array, "b f h w i"]) -> Float[Array, "b f y x i"]:
        """Enlarges one device's share of the latents."""
        x = latents.astype(self.config.dtype)
        x = jax.nn.silu(self.norm(self.input(x)))
        for block in self.before:
            x = block(x)
        up = self.config.up
        x = blurred(unfold(self.wide(x), (1, up, up)), self.config.down)
        for block in self.after:
            x = block(x)
        return self.output(x).astype(jnp.float32)


@jax.jit
def enlarged(
    upsampler: LTXUpsampler, vae: LTXVAE, latents: Float[Array, "b f h w c"]
) -> Float[Array, "b f y x c"]:
    """Normalised latents at the larger height and width."""
    return vae.normalise(upsampler(vae.denormalise(latents)))


def with_statistics(
    latents: Float[Array, "b f h w c"], like: Float[Array, "b t y x c"]
) -> Float[Array, "b f h w c"]:
    """Latents shifted and scaled to the means and deviations of `like`, per video and
    channel (AdaIN)."""
    axes = (1, 2, 3)
    mean, std = (
        latents.mean(axes, keepdims=True),
        latents.std(axes, keepdims=True, ddof=1),
    )
    wanted = like.std(axes, keepdims=True, ddof=1)
    return (latents - mean) / std * wanted + like.mean(axes, keepdims=True)
