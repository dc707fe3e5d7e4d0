"""The VAE of Wan 2.1: video to latents and back, frame by frame or at once.

Video is [b f h w 3] in [-1, 1], latents are [b f h w c], normalised per channel as the
transformer reads them. Both directions are causal in time: the first latent frame
stands for one frame, every further one for `time_compression` frames. Streams carry the
causal features from step to step, so memory does not grow with the video's length.

Source: wan/modules/vae.py of Wan 2.1, diffusers' AutoencoderKLWan (arXiv 2503.20314).
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.families.wan.vae_coders import Decoder, Encoder
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.causal_conv import Past
from chorus_jax.nets.layers import Linear, along_last
from chorus_jax.nets.space_split import over_space
from chorus_jax.nets.video_stream import stream


class Posterior(NamedTuple):
    """The encoder's output for a video: a normal distribution of raw latents, float32.

    Raw means that the latents are not normalised; this is for training.

    Attributes:
        mean: the mean of each latent.
        log_variance: the natural logarithm of its variance, clipped to [-30, 20].
    """

    mean: Float[Array, "b f h w c"]
    log_variance: Float[Array, "b f h w c"]


class WanVAE(nnx.Module):
    """Encoder and decoder between video and normalised latents."""

    def __init__(self, config: WanVAEConfig, *, rngs: nnx.Rngs):
        self.config = config
        dtype, channels = jnp.dtype(config.dtype), config.latent_channels
        self.encoder = self.encoder_of(config, rngs)
        self.moments = Linear(2 * channels, 2 * channels, dtype=dtype, rngs=rngs)
        self.unpack = Linear(channels, channels, dtype=dtype, rngs=rngs)
        self.decoder = self.decoder_of(config, rngs)

    def encoder_of(self, config: WanVAEConfig, rngs: nnx.Rngs) -> Any:
        """The network from video to moments, before their last projection."""
        return Encoder(config, rngs=rngs)

    def decoder_of(self, config: WanVAEConfig, rngs: nnx.Rngs) -> Any:
        """The network from raw latents to video."""
        return Decoder(config, rngs=rngs)

    def encode(self, video: Float[Array, "b f h w 3"]) -> Float[Array, "b t y x c"]:
        """Encodes a video to normalised latents (the posterior's mean, float32), a few
        frames at a time.

        Raises a ValueError for sizes that do not divide, naming the nearest that do.
        """
        _, height, width = self.config.latent_shape(*video.shape[1:4])
        return over_space(WanVAE.encode_share, self, height, width, video)

    def encode_share(self, video: Float[Array, "b f h w 3"]) -> Array:
        """Encodes one device's share of the pixels."""

        def step(video: Array, past: Past) -> tuple[Array, Past]:
            moments, past = self.encode_step(video, past)
            return self.normalise(_posterior(moments).mean), past

        return stream(step, video, self.config.time_compression, 1)

    def posterior(self, video: Float[Array, "b f h w 3"]) -> Posterior:
        """The distribution of a video's raw latents, encoded a few frames at a time."""
        self.config.latent_shape(*video.shape[1:4])
        group = self.config.time_compression
        return _posterior(stream(self.encode_step, video, group, 1))

    def posterior_at_once(self, video: Float[Array, "b f h w 3"]) -> Posterior:
        """`posterior`, encoding all frames at once: for short videos and training."""
        self.config.latent_shape(*video.shape[1:4])
        return _posterior(self.encode_step(video, None)[0])

    def decode(self, latents: Float[Array, "b f h w c"]) -> Float[Array, "b t y x 3"]:
        """Decodes normalised latents to video in [-1, 1] (the model's dtype), a latent
        frame at a time."""
        return stream(self.decode_step, latents, 1, self.config.time_compression)

    def decode_at_once(
        self, latents: Float[Array, "b f h w c"]
    ) -> Float[Array, "b t y x 3"]:
        """`decode`, decoding all frames at once: for short videos and training."""
        return self.decode_step(latents, None)[0]

    def decode_stream(
        self, latents: Float[Array, "b f h w c"]
    ) -> Iterator[Float[Array, "b t y x 3"]]:
        """Yields the frames of each latent frame: one, then `time_compression` each
        time."""
        past = None
        for index in range(latents.shape[1]):
            video, past = _decode_step(self, latents[:, index : index + 1], past)
            yield video

    def encode_step(
        self, video: Float[Array, "b f h w 3"], past: Past
    ) -> tuple[Float[Array, "b t y x c"], Past]:
        """Mean and log-variance (side by side, raw) of the next frames.

        `past` is None for a video's first frame, then the state that the previous call
        returned. Calls after the first take whole groups of `time_compression` frames.
        """
        x, past = self.encoder(video.astype(self.config.dtype), past)
        return self.moments(x).astype(jnp.float32), past

    def decode_step(
        self, latents: Float[Array, "b f h w c"], past: Past
    ) -> tuple[Float[Array, "b t y x 3"], Past]:
        """Decodes the next latent frames; `past` as for `encode_step`."""
        x = self.unpack(self.denormalise(latents).astype(self.config.dtype))
        video, past = self.decoder(x, past)
        return jnp.clip(video, -1, 1), past

    def normalise(
        self, latents: Float[Array, "b f h w c"]
    ) -> Float[Array, "b f h w c"]:
        """Normalises raw latents to mean 0 and deviation 1 per channel, in float32."""
        mean, std = self._statistics(latents)
        return (latents.astype(jnp.float32) - mean) / std

    def denormalise(
        self, latents: Float[Array, "b f h w c"]
    ) -> Float[Array, "b f h w c"]:
        """The inverse of `normalise`."""
        mean, std = self._statistics(latents)
        return latents.astype(jnp.float32) * std + mean

    def _statistics(self, like: Array) -> tuple[Array, Array]:
        mean = jnp.asarray(self.config.latents_mean, jnp.float32)
        std = jnp.asarray(self.config.latents_std, jnp.float32)
        return along_last(mean, like), along_last(std, like)


def _posterior(moments: Float[Array, "b f h w c2"]) -> Posterior:
    mean, log_variance = jnp.split(moments, 2, axis=-1)
    return Posterior(mean, jnp.clip(log_variance, -30, 20))


@partial(jax.jit, donate_argnames="past")
def _decode_step(
    vae: WanVAE, latents: Float[Array, "b f h w c"], past: Past
) -> tuple[Float[Array, "b t y x 3"], Past]:
    height, width = latents.shape[2:4]
    return over_space(WanVAE.decode_step, vae, height, width, latents, past)
