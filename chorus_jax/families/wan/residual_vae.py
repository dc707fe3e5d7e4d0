"""The VAE of Wan 2.2 (TI2V-5B): stages with shortcuts, over patches of pixels.

As `vae`, whose streams it runs, with three differences: the picture is cut into patches
of pixels first, the decoder is wider than the encoder, and a stage adds its input,
resampled without parameters, to its output.

Source: Wan-Video/Wan2.2, wan/modules/vae2_2.py; diffusers' AutoencoderKLWan with
`is_residual`.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.families.wan.resampling import (
    from_pixel_patches,
    means,
    repeats,
    to_pixel_patches,
)
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_blocks import Down, Output, Residual, Stage, Up
from chorus_jax.families.wan.vae_coders import middle
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.causal_conv import CausalConv, Past, through

# Of the published vae/config.json (diffusers, scripts/convert_wan_to_diffusers.py).
WAN22_MEAN = (
    *(-0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557),
    *(-0.1382, 0.0542, 0.2813, 0.0891, 0.1570, -0.0098, 0.0375, -0.1825),
    *(-0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502),
    *(-0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.1230),
    *(-0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.0520, 0.3748),
    *(0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667),
)
WAN22_STD = (
    *(0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.4990, 0.4818, 0.5013),
    *(0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978),
    *(0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659),
    *(0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093),
    *(0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887),
    *(0.3971, 1.0600, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744),
)


@dataclass(frozen=True)
class WanResidualVAEConfig(WanVAEConfig):
    """Sizes of a Wan 2.2 VAE; `wan22` is the published one.

    Attributes:
        decoder_width: as `width`, which is the encoder's.
        pixels: the side of the patches that pictures are cut into.
    """

    decoder_width: int = 256
    pixels: int = 2

    @property
    def space_compression(self) -> int:
        """Pixels a latent pixel stands for, in height and in width."""
        return super().space_compression * self.pixels

    @property
    def patch_channels(self) -> int:
        """Channels of a patch of pixels."""
        return 3 * self.pixels**2

    @classmethod
    def wan22(cls, dtype: str = "bfloat16") -> "WanResidualVAEConfig":
        """Wan 2.2 TI2V-5B: 48 channels, 4 frames by 16 by 16 pixels each."""
        return cls(
            width=160,
            multipliers=(1, 2, 4, 4),
            depth=2,
            halve_time=(False, True, True),
            latents_mean=WAN22_MEAN,
            latents_std=WAN22_STD,
            dtype=dtype,
        )


class DownStage(nnx.Module):
    """Blocks of one resolution and the change to the next, beside group means."""

    def __init__(
        self,
        widths: tuple[int, int],
        depth: int,
        factors: tuple[int, int] | None,
        options: dict[str, Any],
    ):
        inputs, outputs = widths
        ends = [inputs] + [outputs] * (depth - 1)
        blocks = [Residual(width, outputs, **options) for width in ends]
        down = None if factors is None else Down(outputs, factors[0] == 2, **options)
        self.main = Stage(blocks, down)
        self.outputs, self.factors = outputs, factors or (1, 1)

    def __call__(
        self, x: Float[Array, "b f h w i"], past: Past
    ) -> tuple[Float[Array, "b t y x o"], Past]:
        y, kept = self.main(x, past)
        return y + means(x, self.outputs, *self.factors), kept


class UpStage(nnx.Module):
    """Blocks of one resolution and the change to the next, beside repeated values."""

    def __init__(
        self,
        widths: tuple[int, int],
        depth: int,
        factors: tuple[int, int] | None,
        options: dict[str, Any],
    ):
        inputs, outputs = widths
        ends = [inputs] + [outputs] * depth
        blocks = [Residual(width, outputs, **options) for width in ends]
        up = None
        if factors is not None:
            up = Up(outputs, outputs, factors[0] == 2, **options)
        self.main = Stage(blocks, up)
        self.outputs, self.factors = outputs, factors

    def __call__(
        self, x: Float[Array, "b f h w i"], past: Past
    ) -> tuple[Float[Array, "b t y x o"], Past]:
        y, kept = self.main(x, past)
        if self.factors is None:
            return y, kept
        return y + repeats(x, self.outputs, *self.factors, past is None), kept


class ResidualEncoder(nnx.Module):
    """Patches of pixels to mean and log-variance, before their last projection."""

    def __init__(self, config: WanResidualVAEConfig, *, rngs: nnx.Rngs):
        options: dict[str, Any] = dict(dtype=jnp.dtype(config.dtype), rngs=rngs)
        widths = [config.width * m for m in (1, *config.multipliers)]
        factors = [*((1 + time, 2) for time in config.halve_time), None]
        self.pixels = config.pixels
        self.input = CausalConv(config.patch_channels, widths[0], **options)
        self.stages = nnx.List(
            DownStage(pair, config.depth, factor, options)
            for pair, factor in zip(zip(widths, widths[1:]), factors)
        )
        self.middle = nnx.List(middle(widths[-1], options))
        self.output = Output(widths[-1], 2 * config.latent_channels, **options)

    def __call__(
        self, x: Float[Array, "b f h w 3"], past: Past
    ) -> tuple[Float[Array, "b t y x c"], Past]:
        layers = [self.input, *self.stages, *self.middle, self.output]
        return through(layers, to_pixel_patches(x, self.pixels), past)


class ResidualDecoder(nnx.Module):
    """Raw latents to video, not clipped."""

    def __init__(self, config: WanResidualVAEConfig, *, rngs: nnx.Rngs):
        options: dict[str, Any] = dict(dtype=jnp.dtype(config.dtype), rngs=rngs)
        widths = [config.decoder_width * m for m in reversed(config.multipliers)]
        factors = [*((1 + time, 2) for time in reversed(config.halve_time)), None]
        self.pixels = config.pixels
        self.input = CausalConv(config.latent_channels, widths[0], **options)
        self.middle = nnx.List(middle(widths[0], options))
        self.stages = nnx.List(
            UpStage(pair, config.depth, factor, options)
            for pair, factor in zip(zip(widths[:1] + widths, widths), factors)
        )
        self.output = Output(widths[-1], config.patch_channels, **options)

    def __call__(
        self, x: Float[Array, "b f h w c"], past: Past
    ) -> tuple[Float[Array, "b t y x 3"], Past]:
        layers = [self.input, *self.middle, *self.stages, self.output]
        video, past = through(layers, x, past)
        return from_pixel_patches(video, self.pixels), past


class WanResidualVAE(WanVAE):
    """Encoder and decoder between video and normalised latents."""

    def encoder_of(self, config: Any, rngs: nnx.Rngs) -> Any:
        """The network from video to moments, before their last projection."""
        return ResidualEncoder(config, rngs=rngs)

    def decoder_of(self, config: Any, rngs: nnx.Rngs) -> Any:
        """The network from raw latents to video."""
        return ResidualDecoder(config, rngs=rngs)
