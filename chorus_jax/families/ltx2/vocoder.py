"""The vocoder of LTX-2 (HiFi-GAN, arXiv 2010.05646): log-mel spectrograms to sound.

Source: Lightricks/LTX-2, packages/ltx-core; diffusers, pipelines/ltx2/vocoder.py.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.nets.layers import along_last
from chorus_jax.nets.products import exact

LAST_SLOPE = 0.01  # of the last activation; torch's own


@dataclass(frozen=True)
class VocoderConfig:
    """Sizes of the vocoder; the defaults are those of LTX-2 (19B).

    Attributes:
        mel_bins: of a spectrogram.
        channels: of the sound.
        width: after the first convolution; each stage halves it.
        factors: by which the stages lengthen time.
        factor_kernels: of the convolutions that do so.
        kernels: of a stage's residual blocks, whose mean is taken.
        dilations: of the convolutions of each of these.
        slope: of the activations below 0.
        sample_rate: samples per second.
        dtype: of weights and activations.

    Raises:
        ValueError: for stages that do not go together.
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
        if self.width % 2 ** len(self.factors):
            raise ValueError(f"{self.width=} is halved {len(self.factors)} times")

    @property
    def hop(self) -> int:
        """Samples of a spectrogram's frame."""
        return math.prod(self.factors)


class SoundConv(nnx.Module):
    """Convolution along time that keeps its length, or lengthens it `factor` times."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        dilation: int = 1,
        factor: int = 1,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.dilation, self.factor = dilation, factor
        kernel = (size * inputs) ** -0.5 * rngs.params.normal((size, inputs, outputs))
        self.kernel = nnx.Param(kernel.astype(dtype), axes=(None,) * 3)
        self.bias = nnx.Param(jnp.zeros(outputs, dtype), axes=(None,))

    def __call__(self, x: Float[Array, "b t i"]) -> Float[Array, "b s o"]:
        kernel = self.kernel[...]
        if self.factor > 1:  # a transposed convolution: of x with zeros in between
            kernel, side = (
                kernel[::-1],
                len(kernel) - 1 - (len(kernel) - self.factor) // 2,
            )
            sides = (side, side)
        else:
            reach = self.dilation * (len(kernel) - 1)
            sides = (reach // 2, reach - reach // 2)
        y = jax.lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(1,),
            padding=(sides,),
            lhs_dilation=(self.factor,),
            rhs_dilation=(self.dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
            precision=exact(x.dtype),
        )
        return y + along_last(self.bias[...], y)


class SoundResidual(nnx.Module):
    """Pairs of convolutions, dilated and not, each added to its input."""

    def __init__(
        self,
        width: int,
        size: int,
        dilations: tuple[int, ...],
        slope: float,
        **options: Any,
    ):
        """`options` are dtype and rngs."""
        self.slope, conv = slope, partial(SoundConv, width, width, size, **options)
        self.dilated = nnx.List(conv(dilation=dilation) for dilation in dilations)
        self.plain = nnx.List(conv() for _ in dilations)

    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
        for dilated, plain in zip(self.dilated, self.plain):
            y = dilated(jax.nn.leaky_relu(x, self.slope))
            x = x + plain(jax.nn.leaky_relu(y, self.slope))
        return x


class VocoderStage(nnx.Module):
    """Time lengthened, then the mean of residual blocks of several kernels."""

    def __init__(self, config: VocoderConfig, stage: int, **options: Any):
        width = config.width // 2**stage
        size, factor = config.factor_kernels[stage], config.factors[stage]
        self.slope = config.slope
        self.up = SoundConv(width, width // 2, size, factor=factor, **options)
        self.blocks = nnx.List(
            SoundResidual(width // 2, *sizes, config.slope, **options)
            for sizes in zip(config.kernels, config.dilations)
        )

    def __call__(self, x: Float[Array, "b t c"]) -> Float[Array, "b s o"]:
        x = self.up(jax.nn.leaky_relu(x, self.slope))
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
        self.output = SoundConv(last, config.channels, 7, **options)

    def __call__(self, mel: Float[Array, "b t m ch"]) -> Float[Array, "b s ch"]:
        """Samples in [-1, 1], float32: `hop` for each frame of the spectrogram."""
        x = mel.swapaxes(2, 3).reshape(*mel.shape[:2], -1).astype(self.config.dtype)
        x = self.input(x)
        for stage in self.stages:
            x = stage(x)
        x = self.output(jax.nn.leaky_relu(x, LAST_SLOPE))
        return jnp.tanh(x.astype(jnp.float32))
