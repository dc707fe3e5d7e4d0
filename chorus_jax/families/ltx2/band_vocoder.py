"""The vocoder of LTX-2.3: a base vocoder at a low sample rate, and a second one that
adds the upper band.

Source: diffusers, pipelines/ltx2/vocoder.py (LTX2VocoderWithBWE).
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32

from chorus_jax.families.ltx2.vocoder import Vocoder, VocoderConfig
from chorus_jax.families.ltx2.vocoder_layers import raised_by
from chorus_jax.nets.products import exact, product

ZEROS, ROLLOFF = 6, 0.99  # of the filter that raises the rate
FLOOR = 1e-5  # below which a mel bin's loudness is not told apart


@dataclass(frozen=True)
class BandVocoderConfig:
    """Sizes of both vocoders; the defaults are those of LTX-2.3 (22B).

    Attributes:
        mel_bins: mel bins of a spectrogram.
        channels: channels of the sound.
        width: the width of the base vocoder (see `VocoderConfig`).
        factors: the upsampling factor of each stage of the base vocoder.
        factor_kernels: the kernel sizes of its upsampling convolutions.
        band_width: the width of the second vocoder.
        band_factors: the upsampling factor of each stage of the second vocoder.
        band_factor_kernels: the kernel sizes of the second vocoder's upsampling
            convolutions.
        kernels: the kernel sizes of the residual blocks of both vocoders.
        dilations: the dilations of the convolutions of each residual block.
        taps: the length of the filters around the activations.
        window: samples of the base sound per frame of its spectrogram.
        hop: samples from one such frame to the next.
        base_rate: samples per second of the base sound.
        sample_rate: samples per second of the final sound.
        dtype: the dtype of weights; activations are in float32.

    Raises:
        ValueError: for sample rates that the factors and hops do not give.
    """

    mel_bins: int = 64
    channels: int = 2
    width: int = 1536
    factors: tuple[int, ...] = (5, 2, 2, 2, 2, 2)
    factor_kernels: tuple[int, ...] = (11, 4, 4, 4, 4, 4)
    band_width: int = 512
    band_factors: tuple[int, ...] = (6, 5, 2, 2, 2)
    band_factor_kernels: tuple[int, ...] = (12, 11, 4, 4, 4)
    kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 3
    taps: int = 12
    window: int = 512
    hop: int = 80
    base_rate: int = 16000
    sample_rate: int = 48000
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        rises = math.prod(self.band_factors) == self.hop * self.ratio
        if self.sample_rate % self.base_rate or not rises or self.base.hop % self.hop:
            raise ValueError(
                f"the second vocoder lengthens a frame to {self.band_factors} samples, "
                f"which must be {self.hop=} times {self.sample_rate=} over "
                f"{self.base_rate=}; and the first one's frames, {self.factors}, must "
                "be whole hops"
            )

    @property
    def ratio(self) -> int:
        """The ratio of the final sample rate to the base sound's."""
        return self.sample_rate // self.base_rate

    @property
    def base(self) -> VocoderConfig:
        """The config of the base vocoder."""
        return self.part(self.width, self.factors, self.factor_kernels, self.base_rate)

    @property
    def band(self) -> VocoderConfig:
        """The config of the vocoder of the upper band."""
        sizes = (self.band_width, self.band_factors, self.band_factor_kernels)
        return self.part(*sizes, self.sample_rate)

    def part(
        self, width: int, factors: tuple, factor_kernels: tuple, rate: int
    ) -> VocoderConfig:
        """The config of one of the two vocoders."""
        return VocoderConfig(
            self.mel_bins,
            self.channels,
            width,
            factors,
            factor_kernels,
            self.kernels,
            self.dilations,
            sample_rate=rate,
            activation="snakebeta",
            taps=self.taps,
            dtype=self.dtype,
        )


class BandVocoder(nnx.Module):
    """Log-mel spectrograms to sound: a base sound at a low rate, then its upper band.

    Attributes:
        base: makes the base sound.
        band: makes the upper band, at the higher rate, from the base sound's
            spectrogram.
        waves: the Fourier basis of the spectrogram: windowed cosines, then sines.
        mel: projects the magnitudes of all frequencies to mel bins.
    """

    def __init__(self, config: BandVocoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.base = Vocoder(config.base, rngs=rngs)
        self.band = Vocoder(config.band, rngs=rngs)
        count, dtype = config.window // 2 + 1, jnp.dtype(config.dtype)
        waves = jnp.zeros((config.window, 2 * count), dtype)
        self.waves = nnx.Param(waves, axes=(None, None))
        bins = jnp.zeros((count, config.mel_bins), dtype)
        self.mel = nnx.Param(bins, axes=(None, None))

    def __call__(self, mel: Float[Array, "b t m ch"]) -> Float[Array, "b s ch"]:
        """Samples in [-1, 1], float32."""
        # The makers cut the first sound too; diffusers does not.
        sound = jnp.clip(self.base(mel), -1, 1)
        added = self.band(self.spectrogram(sound))
        taps = jnp.asarray(raising_filter(self.config.ratio))
        pad = half_width()
        start = 2 * pad * self.config.ratio
        low = raised_by(sound, taps, self.config.ratio, pad, start)
        return jnp.clip(added + low, -1, 1)

    def spectrogram(self, sound: Float[Array, "b s ch"]) -> Float[Array, "b t m ch"]:
        """The log-mel spectrogram of a sound; its frames see no later samples."""
        b, s, channels = sound.shape
        rows = sound.swapaxes(1, 2).reshape(-1, s, 1)
        early = self.config.window - self.config.hop
        waves = self.waves[...].astype(jnp.float32)
        parts = jax.lax.conv_general_dilated(
            jnp.pad(rows, ((0, 0), (early, 0), (0, 0))),
            waves[:, None, :],
            window_strides=(self.config.hop,),
            padding="VALID",
            dimension_numbers=("NWC", "WIO", "NWC"),
            precision=exact(sound.dtype),
        )
        cosines, sines = jnp.split(parts, 2, axis=-1)
        loudness = jnp.sqrt(jnp.square(cosines) + jnp.square(sines))
        mel = product("bti,im->btm", loudness, self.mel[...].astype(jnp.float32))
        log = jnp.log(jnp.maximum(mel, FLOOR))
        return log.reshape(b, channels, *log.shape[1:]).transpose(0, 2, 3, 1)


def half_width() -> int:
    """Half the length of the upsampling filter, in samples of the low rate."""
    return math.ceil(ZEROS / ROLLOFF)


def raising_filter(ratio: int) -> Float32[np.ndarray, " k"]:
    """The filter for upsampling by `ratio`: a sinc under a Hann window."""
    width = half_width()
    time = np.arange(2 * width * ratio + 1, dtype=np.float32) / np.float32(ratio)
    time = (time - np.float32(width)) * np.float32(ROLLOFF)
    window = np.cos(np.clip(time, -ZEROS, ZEROS) * np.pi / ZEROS / 2) ** 2
    return (np.sinc(time) * window * ROLLOFF / ratio).astype(np.float32)
