"""The vocoder of LTX-2 (HiFi-GAN, arXiv 2010.05646): log-mel spectrograms to sound.

Source: Lightricks/LTX-2, packages/ltx-core; diffusers, pipelines/ltx2/vocoder.py.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.families.ltx2.vocoder_layers import Leaky, SmoothSnake, SoundConv

LAST_SLOPE = 0.01  # of the last activation; torch's own
ACTIVATIONS = ("leaky_relu", "snakebeta")


@dataclass(frozen=True)
class VocoderConfig:
    """Sizes of the vocoder; the defaults are those of LTX-2 (19B).

    Attributes:
        mel_bins: mel bins of a spectrogram.
        channels: channels of the sound.
        width: the width after the first convolution; each stage halves it.
        factors: the upsampling factor of each stage.
        factor_kernels: the kernel sizes of the upsampling convolutions.
        kernels: the kernel sizes of a stage's residual blocks, whose outputs are
            averaged.
        dilations: the dilations of the convolutions of each residual block.
        slope: the slope of leaky ReLUs below 0.
        sample_rate: samples per second.
        activation: one of `ACTIVATIONS`; with `snakebeta` the last convolution has no
            bias, and nothing bounds its output.
        taps: the length of the filters around that activation.
        dtype: the dtype of weights; activations are in float32.

    Raises:
        ValueError: for lists of different lengths, or an unknown activation.
    """

    mel_bins: int = 64
    channels: int = 2
    width: int = 1024
    factors: tuple[int, ...] = (6, 5, 2, 2, 2)
    factor_kernels: tuple[int, ...] = (16, 15, 8, 4, 4)
    kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 3
    slope: float = 0.1
    sample_rate: int = 24000
    activation: str = "leaky_relu"
    taps: int = 12
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if len(self.factors) != len(self.factor_kernels) or (
            len(self.kernels) != len(self.dilations)
        ):
            raise ValueError(
                "factors and factor_kernels go together, and kernels and dilations; "
                f"got {self.factors}, {self.factor_kernels}, {self.kernels}, "
                f"{self.dilations}"
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"an activation is one of {ACTIVATIONS}, got {self.activation!r}"
            )
        if self.width % 2 ** len(self.factors):
            raise ValueError(f"{self.width=} is halved {len(self.factors)} times")

    @property
    def hop(self) -> int:
        """Samples of sound per frame of a spectrogram."""
        return math.prod(self.factors)

    @property
    def snakes(self) -> bool:
        """Whether the activations are `SmoothSnake`s."""
        return self.activation == "snakebeta"

    def activate(self, width: int, slope: float) -> SmoothSnake | Leaky:
        """An activation of `width` channels: a `SmoothSnake`, or a leaky ReLU of this
        slope."""
        if self.snakes:
            return SmoothSnake(width, self.taps, jnp.dtype(self.dtype))
        return Leaky(slope)


class SoundResidual(nnx.Module):
    """Pairs of convolutions, dilated and not, each added to its input."""

    def __init__(
        self,
        config: VocoderConfig,
        width: int,
        size: int,
        dilations: tuple[int, ...],
        **options: Any,
    ):
        """`options` are dtype and rngs."""
        conv = partial(SoundConv, width, width, size, **options)
        self.dilated = nnx.List(conv(dilation=dilation) for dilation in dilations)
        self.plain = nnx.List(conv() for _ in dilations)
        make = lambda: config.activate(width, config.slope)
        self.first = nnx.List(make() for _ in dilations)
        self.second = nnx.List(make() for _ in dilations)

    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
        pairs = zip(self.first, self.dilated, self.second, self.plain)
        for first, dilated, second, plain in pairs:
            x = x + plain(second(dilated(first(x))))
        return x


class VocoderStage(nnx.Module):
    """Upsampling along time, then the mean of residual blocks of several kernel
    sizes."""

    def __init__(self, config: VocoderConfig, stage: int, **options: Any):
        width = config.width // 2**stage
        size, factor = config.factor_kernels[stage], config.factors[stage]
        self.first = None if config.snakes else Leaky(config.slope)
        self.up = SoundConv(width, width // 2, size, factor=factor, **options)
        self.blocks = nnx.List(
            SoundResidual(config, width // 2, *sizes, **options)
            for sizes in zip(config.kernels, config.dilations)
        )

    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b s o"]:
        x = self.up(x if self.first is None else self.first(x))
        return jnp.stack([block(x) for block in self.blocks]).mean(axis=0)


class Vocoder(nnx.Module):
    """Log-mel spectrograms to sound."""

    def __init__(self, config: VocoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        options: dict[str, Any] = dict(dtype=jnp.dtype(config.dtype), rngs=rngs)
        inputs, last = config.mel_bins * config.channels, config.width
        self.input = SoundConv(inputs, config.width, 7, **options)
        self.stages = nnx.List(
            VocoderStage(config, stage, **options)
            for stage in range(len(config.factors))
        )
        last //= 2 ** len(config.factors)
        self.last = config.activate(last, LAST_SLOPE)
        options["bias"] = not config.snakes
        self.output = SoundConv(last, config.channels, 7, **options)

    def __call__(self, mel: Float[Array, "b t m ch"]) -> Float[Array, "b s ch"]:
        """Samples in float32, `hop` per frame of the spectrogram; in [-1, 1] unless the
        activation is `snakebeta`."""
        # The makers compute in float32 too: over a hundred convolutions in a row,
        # rounding to bfloat16 would be heard.
        x = mel.swapaxes(2, 3).reshape(*mel.shape[:2], -1).astype(jnp.float32)
        x = self.input(x)
        for stage in self.stages:
            x = stage(x)
        x = self.output(self.last(x))
        return x if self.config.snakes else jnp.tanh(x)
