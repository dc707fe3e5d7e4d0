"""The two halves of the Wan VAE: stages of blocks down to the latent grid, and back."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.families.wan.vae_blocks import (
    Attention,
    Down,
    Output,
    Residual,
    Stage,
    Up,
)
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.causal_conv import CausalConv, Past, through


class Encoder(nnx.Module):
    """The encoder: video to mean and log-variance of raw latents, without the last
    projection."""

    def __init__(self, config: WanVAEConfig, *, rngs: nnx.Rngs):
        options: dict[str, Any] = dict(dtype=jnp.dtype(config.dtype), rngs=rngs)
        widths = [config.width * m for m in (1, *config.multipliers)]
        stages = []
        for s, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            ends = [inputs] + [outputs] * (config.depth - 1)
            blocks = [Residual(width, outputs, **options) for width in ends]
            last = s == len(config.halve_time)
            down = None if last else Down(outputs, config.halve_time[s], **options)
            stages.append(Stage(blocks, down))
        self.input = CausalConv(3, widths[0], **options)
        self.stages = nnx.List(stages)
        self.middle = nnx.List(middle(widths[-1], options))
        self.output = Output(widths[-1], 2 * config.latent_channels, **options)

    def __call__(
        self, x: Float[Array, "b f h w 3"], past: Past
    ) -> tuple[Float[Array, "b t y x c"], Past]:
        return through([self.input, *self.stages, *self.middle, self.output], x, past)


class Decoder(nnx.Module):
    """The decoder: raw latents to video, not clipped."""

    def __init__(self, config: WanVAEConfig, *, rngs: nnx.Rngs):
        options: dict[str, Any] = dict(dtype=jnp.dtype(config.dtype), rngs=rngs)
        widths = [config.width * m for m in reversed(config.multipliers)]
        stages, inputs = [], widths[0]
        for s, outputs in enumerate(widths):
            ends = [inputs] + [outputs] * config.depth
            blocks = [Residual(width, outputs, **options) for width in ends]
            last = s == len(config.halve_time)
            inputs = outputs // 2
            time = not last and config.halve_time[-1 - s]
            up = None if last else Up(outputs, inputs, time, **options)
            stages.append(Stage(blocks, up))
        self.input = CausalConv(config.latent_channels, widths[0], **options)
        self.middle = nnx.List(middle(widths[0], options))
        self.stages = nnx.List(stages)
        self.output = Output(widths[-1], 3, **options)

    def __call__(
        self, x: Float[Array, "b f h w c"], past: Past
    ) -> tuple[Float[Array, "b t y x 3"], Past]:
        return through([self.input, *self.middle, *self.stages, self.output], x, past)


def middle(width: int, options: dict[str, Any]) -> list[nnx.Module]:
    """The blocks at the lowest resolution, the only ones that see a whole frame."""
    return [
        Residual(width, width, **options),
        Attention(width, **options),
        Residual(width, width, **options),
    ]
