"""The VAE of LTX-Video and LTX-2: video to latents and back.

Video is [b f h w 3] in [-1, 1], latents are [b f h w c], normalised per channel as the
transformer reads them. The encoder is causal in time and runs as a stream. The decoder
of all published models sees the future too and decodes the whole video at once. From
LTX-Video 0.9.1 on the decoder does the last denoising step: it gets latents with some
noise, and the noise level.

Source: Lightricks/LTX-Video, ltx_video/models/autoencoders/causal_video_autoencoder.py
(arXiv 2501.00103); diffusers' AutoencoderKLLTXVideo and AutoencoderKLLTX2Video.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Integer

from chorus_jax.families.ltx_vae.vae_blocks import Cue
from chorus_jax.families.ltx_vae.vae_coders import LTXDecoder, LTXEncoder
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from chorus_jax.nets.causal_conv import Past
from chorus_jax.nets.layers import along_last
from chorus_jax.nets.space_split import over_space
from chorus_jax.nets.video_stream import stream

DECODING = 2**16  # folded into a seed: noise that the latents did not begin as


class LTXVAE(nnx.Module):
    """Encoder and decoder between video and normalised latents.

    Attributes:
        mean: the mean of the raw latents, per channel.
        std: the standard deviation of the raw latents, per channel.
    """

    def __init__(self, config: LTXVAEConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.encoder = LTXEncoder(config, rngs=rngs)
        self.decoder = LTXDecoder(config, rngs=rngs)
        self.mean = nnx.Param(jnp.zeros(config.latent_channels), axes=(None,))
        self.std = nnx.Param(jnp.ones(config.latent_channels), axes=(None,))

    def encode(self, video: Float[Array, "b f h w 3"]) -> Float[Array, "b t y x c"]:
        """Encodes a video to normalised latents (the posterior's mean, float32), a few
        frames at a time.

        The number of frames must be 1 + a multiple of `time_compression`; height and
        width must be multiples of `space_compression`.
        """
        height, width = (x // self.config.space_compression for x in video.shape[2:4])
        return over_space(LTXVAE.encode_share, self, height, width, video)

    def encode_share(self, video: Float[Array, "b f h w 3"]) -> Array:
        """Encodes one device's share of the pixels."""

        def step(video: Array, past: Past) -> tuple[Array, Past]:
            moments, past = self.encode_step(video, past)
            return self.normalise(moments[..., :-1]), past

        return stream(step, video, self.config.time_compression, 1)

    def encode_step(
        self, video: Float[Array, "b f h w 3"], past: Past
    ) -> tuple[Float[Array, "b t y x c"], Past]:
        """Raw means and, as the last channel, the log-variance of the next frames.

        `past` is None for a video's first frames, then the state that the previous call
        returned.
        """
        patches = to_channels(video.astype(self.config.dtype), self.config.patch)
        x, past = self.encoder(patches, past)
        return x.astype(jnp.float32), past

    def decode(
        self, latents: Float[Array, "b f h w c"], seeds: Integer[Array, " b"]
    ) -> Float[Array, "b t y x 3"]:
        """Decodes normalised latents to video in [-1, 1].

        Args:
            latents: the latents at the end of denoising.
            seeds: the seed of the noise that the decoder adds, per video.
        """
        keys = jax.vmap(decoding_key)(seeds)
        if self.config.timestep:
            share = self.config.decode_noise
            noise = jax.vmap(lambda key: jax.random.normal(key, latents.shape[1:]))
            latents = (1 - share) * latents + share * noise(keys)
        time = jnp.full(len(seeds), self.config.decode_timestep, jnp.float32)
        given, size = (self, Cue(time, keys)), latents.shape[2:4]
        return over_space(LTXVAE.decode_share, given, *size, latents)

    @staticmethod
    def decode_share(
        given: tuple["LTXVAE", Cue], latents: Float[Array, "b f h w c"]
    ) -> Float[Array, "b t y x 3"]:
        """Decodes one device's share of noisy latents."""
        vae, cue = given
        return vae.decode_step(latents, None, cue)[0]

    def decode_step(
        self, latents: Float[Array, "b f h w c"], past: Past, cue: Cue
    ) -> tuple[Float[Array, "b t y x 3"], Past]:
        """Decodes the next latent frames; `past` as for `encode_step`, and always None
        unless the decoder is causal."""
        raw = self.denormalise(latents).astype(self.config.dtype)
        x, past = self.decoder(raw, past, cue)
        return jnp.clip(from_channels(x, self.config.patch), -1, 1), past

    def normalise(
        self, latents: Float[Array, "b f h w c"]
    ) -> Float[Array, "b f h w c"]:
        """Normalises raw latents to mean 0 and deviation 1 per channel, in float32."""
        x = latents.astype(jnp.float32)
        return (x - along_last(self.mean[...], x)) / along_last(self.std[...], x)

    def denormalise(
        self, latents: Float[Array, "b f h w c"]
    ) -> Float[Array, "b f h w c"]:
        """The inverse of `normalise`."""
        x = latents.astype(jnp.float32)
        return x * along_last(self.std[...], x) + along_last(self.mean[...], x)


def decoding_key(seed: Integer[Array, ""]) -> Array:
    """The random key of the noise that decoding adds, from a request's seed."""
    return jax.random.fold_in(jax.random.key(seed), DECODING)


def to_channels(
    video: Float[Array, "b f h w 3"], patch: int
) -> Float[Array, "b f y x p"]:
    """Folds each `patch` x `patch` square of pixels into channels: by colour, then
    column, then row."""
    b, f, h, w, c = video.shape
    x = video.reshape(b, f, h // patch, patch, w // patch, patch, c)
    return x.transpose(0, 1, 2, 4, 6, 5, 3).reshape(b, f, h // patch, w // patch, -1)


def from_channels(
    x: Float[Array, "b f h w p"], patch: int
) -> Float[Array, "b f y x 3"]:
    """The reverse of `to_channels`."""
    b, f, h, w, _ = x.shape
    x = x.reshape(b, f, h, w, 3, patch, patch)
    return x.transpose(0, 1, 2, 6, 3, 5, 4).reshape(b, f, h * patch, w * patch, 3)


@jax.jit
def decode_whole(
    vae: LTXVAE, latents: Float[Array, "b f h w c"], seeds: Integer[Array, " b"]
) -> Float[Array, "b t y x 3"]:
    """`LTXVAE.decode` as one jitted program."""
    return vae.decode(latents, seeds)


def decode_groups(
    vae: LTXVAE, latents: Float[Array, "b f h w c"], seeds: Integer[Array, " b"]
) -> Iterator[Float[Array, "b t y x 3"]]:
    """Yields the frames of each latent frame: one, then `time_compression` each
    time."""
    video, group = decode_whole(vae, latents, seeds), vae.config.time_compression
    yield video[:, :1]
    for first in range(1, video.shape[1], group):
        yield video[:, first : first + group]
