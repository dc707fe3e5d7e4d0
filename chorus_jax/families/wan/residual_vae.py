"""The VAE of Wan 2.2 (TI2V-5B): residual stages over patches of pixels.

It works as `vae` does, with three differences: the picture is first cut into patches of
pixels, the decoder is wider than the encoder, and a stage adds its input, resampled
without parameters, to its output.

Source: Wan-Video/Wan2.2, wan/modules/vae2_2.py; diffusers' AutoencoderKLWan with
`is_residual`.
"""

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
from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_blocks import Down, Output, Residual, Stage, Up
from chorus_jax.families.wan.vae_coders import middle
from chorus_jax.nets.causal_conv import CausalConv, Past, through


class DownStage(nnx.Module):
    """Blocks of one resolution and downsampling, plus group means of the input."""

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
        y, left_over = self.main(x, past)
        return y + means(x, self.outputs, *self.factors), left_over


class UpStage(nnx.Module):
    """Blocks of one resolution and upsampling, plus repeated values of the input."""

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
        y, left_over = self.main(x, past)
        if self.factors is None:
            return y, left_over
        return y + repeats(x, self.outputs, *self.factors, past is None), left_over


class ResidualEncoder(nnx.Module):
    """The encoder: patches of pixels to mean and log-variance, without the last
    projection."""

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
    """The decoder: raw latents to video, not clipped."""

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
