"""The audio VAE of LTX-2: log-mel spectrograms to latents and back.

A spectrogram is [b t mel channels], latents are tokens [b n c], normalised per channel
as the transformer reads them: a token has all channels of all mel bins of one time.
Convolutions are causal in time: the first latent stands for one frame, each other one
for four.

Source: Lightricks/LTX-2, packages/ltx-core; diffusers' AutoencoderKLLTX2Audio.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.nets.layers import Linear, RMSNorm, along_last
from chorus_jax.nets.products import exact

EPSILON = 1e-6


@dataclass(frozen=True)
class AudioVAEConfig:
    """Sizes of the audio VAE; the defaults are those of LTX-2 and 2.3.

    Attributes:
        width: the width of the first stage.
        multipliers: the width of each stage over `width`; between stages time and mel
            bins are halved.
        depth: residual blocks per stage of the encoder; the decoder has one more.
        channels: channels of the sound, such as 2 for stereo.
        latent_channels: channels of the latents per mel bin.
        mel_bins: mel bins of a spectrogram.
        sample_rate: samples per second of the sound behind the spectrograms.
        hop: samples of sound per frame of a spectrogram.
        dtype: the dtype of weights and activations.

    Raises:
        ValueError: for mel bins that the stages cannot halve, and for a hop or rate
            below 1.
    """

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4)
    depth: int = 2
    channels: int = 2
    latent_channels: int = 8
    mel_bins: int = 64
    sample_rate: int = 16000
    hop: int = 160
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.hop) < 1:
            raise ValueError(
                "sample_rate and hop must be above 0, got "
                f"{self.sample_rate} and {self.hop}"
            )
        if self.mel_bins % self.compression:
            raise ValueError(
                f"{self.mel_bins=} must be a multiple of {self.compression}, by which "
                f"{len(self.multipliers)} stages divide them"
            )

    @property
    def compression(self) -> int:
        """Spectrogram frames, and mel bins, per latent; the first latent stands for one
        frame."""
        return 2 ** (len(self.multipliers) - 1)

    @property
    def token_width(self) -> int:
        """The width of a token: all channels of all mel bins of one time."""
        return self.latent_channels * self.mel_bins // self.compression


class MelConv(nnx.Module):
    """3x3 convolution over time and mel bins; it sees no later time."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        stride: int = 1,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.stride, scale = stride, (9 * inputs) ** -0.5
        kernel = scale * rngs.params.normal((3, 3, inputs, outputs))
        self.kernel = nnx.Param(kernel.astype(dtype), axes=(None,) * 4)
        self.bias = nnx.Param(jnp.zeros(outputs, dtype), axes=(None,))

    def __call__(self, x: Float[Array, "b t m i"]) -> Float[Array, "b t2 m2 o"]:
        sides = (1, 1) if self.stride == 1 else (0, 1)
        y = jax.lax.conv_general_dilated(
            x,
            self.kernel[...],
            window_strides=(self.stride,) * 2,
            padding=((2, 0), sides),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=exact(x.dtype),
        )
        return y + along_last(self.bias[...], y)


class AudioResidual(nnx.Module):
    """Two normed convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, **options: Any):
        """`options` are dtype and rngs."""
        self.norm = RMSNorm(inputs, affine=False, epsilon=EPSILON)
        self.conv1 = MelConv(inputs, outputs, **options)
        self.conv2 = MelConv(outputs, outputs, **options)
        changes = inputs != outputs
        self.shortcut = Linear(inputs, outputs, **options) if changes else None

    def __call__(self, x: Float[Array, "b t m i"]) -> Float[Array, "b t m o"]:
        y = self.conv1(jax.nn.silu(self.norm(x)))
        y = self.conv2(jax.nn.silu(self.norm(y)))
        return (x if self.shortcut is None else self.shortcut(x)) + y


class AudioStage(nnx.Module):
    """Residual blocks, and the change of resolution after them.

    Attributes:
        blocks: the residual blocks.
        resize: the convolution that changes the resolution; None if it stays.
        grows: whether time and mel bins are doubled before `resize`.
    """

    def __init__(
        self, inputs: int, width: int, depth: int, resize: str | None, **options: Any
    ):
        """`resize` is "up", "down" or None."""
        widths = [inputs] + [width] * depth
        self.blocks = nnx.List(
            AudioResidual(*pair, **options) for pair in zip(widths, widths[1:])
        )
        stride = 2 if resize == "down" else 1
        conv = partial(MelConv, width, width, stride=stride, **options)
        self.resize, self.grows = conv() if resize else None, resize == "up"

    def __call__(self, x: Float[Array, "b t m i"]) -> Float[Array, "b t2 m2 o"]:
        for block in self.blocks:
            x = block(x)
        if self.resize is None:
            return x
        if not self.grows:
            return self.resize(x)
        # Of the first time only the later half is kept.
        return self.resize(x.repeat(2, axis=1).repeat(2, axis=2))[:, 1:]


class AudioCoder(nnx.Module):
    """The encoder or the decoder: middle blocks and stages, between two
    convolutions."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stages: list[AudioStage],
        widths: tuple[int, int],
        middle: AudioStage,
        middle_first: bool,
        **options: Any,
    ):
        """`widths` are those after the first convolution and before the last one."""
        self.input = MelConv(inputs, widths[0], **options)
        self.stages, self.middle = nnx.List(stages), middle
        self.middle_first = middle_first
        self.norm = RMSNorm(widths[1], affine=False, epsilon=EPSILON)
        self.output = MelConv(widths[1], outputs, **options)

    def __call__(self, x: Float[Array, "b t m i"]) -> Float[Array, "b t2 m2 o"]:
        x = self.input(x)
        parts = [*self.stages]
        parts.insert(0 if self.middle_first else len(parts), self.middle)
        for part in parts:
            x = part(x)
        return self.output(jax.nn.silu(self.norm(x)))


def stages_of(
    widths: list[int], depth: int, resize: str, options: dict[str, Any]
) -> list[AudioStage]:
    """Stages that lead through these widths; all but the last change the resolution."""
    pairs = list(zip(widths, widths[1:]))
    changes = [resize] * (len(pairs) - 1)
    return [
        AudioStage(*pair, depth, change, **options)
        for pair, change in zip(pairs, [*changes, None])
    ]


class AudioVAE(nnx.Module):
    """Encoder and decoder between spectrograms and normalised latents.

    Attributes:
        mean: the mean of the raw latents, per channel of a token.
        std: the standard deviation of the raw latents, per channel of a token.
    """

    def __init__(self, config: AudioVAEConfig, *, rngs: nnx.Rngs):
        self.config = config
        options: dict[str, Any] = dict(dtype=jnp.dtype(config.dtype), rngs=rngs)
        widths = [config.width * x for x in config.multipliers]
        first, last, depth = widths[0], widths[-1], config.depth
        middle = lambda: AudioStage(last, last, 2, None, **options)
        down = stages_of([first, *widths], depth, "down", options)
        up = stages_of([last, *widths[::-1]], depth + 1, "up", options)
        latent, channels = config.latent_channels, config.channels
        self.encoder = AudioCoder(
            channels, 2 * latent, down, (first, last), middle(), False, **options
        )
        self.decoder = AudioCoder(
            latent, channels, up, (last, first), middle(), True, **options
        )
        self.mean = nnx.Param(jnp.zeros(config.token_width), axes=(None,))
        self.std = nnx.Param(jnp.ones(config.token_width), axes=(None,))

    def encode(self, mel: Float[Array, "b t m ch"]) -> Float[Array, "b n c"]:
        """Normalised latents (float32) of a spectrogram: the posterior's mean."""
        moments = self.encoder(mel.astype(self.config.dtype))
        means = moments[..., : self.config.latent_channels].astype(jnp.float32)
        raw = means.swapaxes(2, 3).reshape(*means.shape[:2], -1)
        return (raw - along_last(self.mean[...], raw)) / along_last(self.std[...], raw)

    def decode(self, latents: Float[Array, "b n c"]) -> Float[Array, "b t m ch"]:
        """The log-mel spectrogram of normalised latents: 4n - 3 frames."""
        x = latents.astype(jnp.float32)
        raw = x * along_last(self.std[...], x) + along_last(self.mean[...], x)
        channels = raw.reshape(*raw.shape[:2], self.config.latent_channels, -1)
        return self.decoder(channels.swapaxes(2, 3).astype(self.config.dtype))
