"""The two halves of the LTX VAE: stages down to the latent grid, and back."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.families.ltx_vae.vae_blocks import (
    EPSILON,
    Cue,
    LTXResidual,
    LTXStage,
    TimeRows,
    activated,
)
from chorus_jax.families.ltx_vae.vae_config import DOWN, LTXVAEConfig
from chorus_jax.families.ltx_vae.vae_layers import EdgeConv, FoldDown, UnfoldUp
from chorus_jax.nets.causal_conv import Past, through
from chorus_jax.nets.layers import RMSNorm


class LTXEncoder(nnx.Module):
    """The encoder: patches of video to the means and one log-variance (the last
    channel) of latents."""

    def __init__(self, config: LTXVAEConfig, *, rngs: nnx.Rngs):
        dtype = jnp.dtype(config.dtype)
        options: dict[str, Any] = dict(causal=True, dtype=dtype, rngs=rngs)
        options["padding"] = config.encoder_padding
        widths, inputs = config.encoder_widths, 3 * config.patch**2
        self.input = EdgeConv(inputs, widths[0], **options)
        self.stages = nnx.List(
            down_stage(*sizes, options)
            for sizes in zip(widths, widths[1:], config.encoder_depths, config.down)
        )
        self.middle = LTXStage(
            [], None, residuals(widths[-1], config.encoder_depths[-1], options), []
        )
        self.norm = RMSNorm(widths[-1], affine=False, epsilon=EPSILON)
        self.output = EdgeConv(widths[-1], config.latent_channels + 1, **options)

    def __call__(
        self, x: Float[Array, "b f h w p"], past: Past
    ) -> tuple[Float[Array, "b t y x c"], Past]:
        def end(x: Array, past: Past) -> tuple[Array, Past]:
            return self.output(activated(self.norm, x, None, None), past)

        stages = [partial(stage, cue=None) for stage in (*self.stages, self.middle)]
        return through([self.input, *stages, end], x, past)


def down_stage(
    inputs: int, outputs: int, depth: int, down: str, options: dict[str, Any]
) -> LTXStage:
    """A stage of the encoder: blocks, then the change of size and width."""
    after: list[nnx.Module] = []
    if down == "conv":
        after.append(EdgeConv(inputs, inputs, stride=2, **options))
    elif down != "none":
        after.append(FoldDown(inputs, outputs, DOWN[down], **options))
    if down in ("conv", "none") and inputs != outputs:
        after.append(LTXResidual(inputs, outputs, **options))
    return LTXStage([], None, residuals(inputs, depth, options), after)


def residuals(width: int, depth: int, options: dict[str, Any]) -> list[LTXResidual]:
    """Residual blocks of one width."""
    return [LTXResidual(width, width, **options) for _ in range(depth)]


class LTXDecoder(nnx.Module):
    """The decoder: raw latents to patches of video, not clipped."""

    def __init__(self, config: LTXVAEConfig, *, rngs: nnx.Rngs):
        causal, dtype = config.decoder_causal, jnp.dtype(config.dtype)
        options: dict[str, Any] = dict(causal=causal, dtype=dtype, rngs=rngs)
        options["padding"] = config.decoder_padding
        widths, last = config.decoder_widths, config.decoder_widths[-1]
        self.input = EdgeConv(config.latent_channels, widths[0], **options)
        self.stages = nnx.List(
            up_stage(config, stage, options) for stage in range(len(widths))
        )
        self.norm = RMSNorm(last, affine=False, epsilon=EPSILON)
        self.time = TimeRows(2, last, rngs) if config.timestep else None
        table = last**-0.5 * rngs.params.normal((2, last)) if config.timestep else None
        self.table = None if table is None else nnx.Param(table, axes=(None, None))
        scale = jnp.full(1, 1000.0) if config.timestep else None
        self.time_scale = None if scale is None else nnx.Param(scale, axes=(None,))
        self.output = EdgeConv(last, 3 * config.patch**2, **options)

    def __call__(
        self, x: Float[Array, "b f h w c"], past: Past, cue: Cue
    ) -> tuple[Float[Array, "b t y x p"], Past]:
        if self.time_scale is not None:
            cue = cue._replace(time=cue.time * self.time_scale[...])
        shift = scale = None
        if self.time is not None and self.table is not None:
            rows = self.time(cue.time) + self.table[...][None]
            shift, scale = rows[:, 0], rows[:, 1]

        def end(x: Array, past: Past) -> tuple[Array, Past]:
            return self.output(activated(self.norm, x, shift, scale), past)

        stages = [partial(stage, cue=cue) for stage in self.stages]
        return through([self.input, *stages, end], x, past)


def up_stage(config: LTXVAEConfig, stage: int, options: dict[str, Any]) -> LTXStage:
    """The middle of the decoder (stage 0), or a stage after it: a change of width and
    size, then blocks."""
    width, depth = config.decoder_widths[stage], config.decoder_depths[stage]
    conditioned: dict[str, Any] = dict(timestep=config.timestep)
    # Four a block are more than it needs: numbers do not repeat.
    numbers = range(4096 * stage, 4096 * (stage + 1), 4)
    noise = numbers if config.decoder_noise[stage] else [None] * (depth + 1)
    before: list[nnx.Module] = []
    if stage and config.changes[stage - 1]:
        inputs = config.stage_inputs[stage - 1]
        before.append(LTXResidual(inputs, width, **conditioned, **options))
    if stage and config.up[stage - 1]:
        wide, box = width * config.up[stage - 1], config.up_boxes[stage - 1]
        before.append(UnfoldUp(wide, width, box, config.up_residual, **options))
    time = TimeRows(4, width, options["rngs"]) if config.timestep else None
    blocks = [
        LTXResidual(width, width, noise=noise[i], **conditioned, **options)
        for i in range(depth)
    ]
    return LTXStage(before, time, blocks, [])
