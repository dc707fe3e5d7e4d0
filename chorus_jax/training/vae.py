"""Training of the VAE: its loss, and figures of its quality.

The texture is faint, so a plain error would let it blur. So the loss has a further term
for the fine part of the error, which is what a blur of the error removes.
"""

from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, UInt8

from chorus_jax.families.wan.vae import Posterior, WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.training.data import Crops
from chorus_jax.training.initial_vae import initial_vae
from chorus_jax.training.params import (
    Params,
    abstract_part,
    assembled,
    named_part,
)
from chorus_jax.training.recipe import VaeTraining
from chorus_jax.training.world.measures import detail

PART = "vae"
SHOWN = 2_000_000  # clips from this number on are for the probe, not for training


@dataclass(frozen=True)
class VaeJob:
    """The `loop.TrainingJob` of the VAE.

    Attributes:
        config: the VAE's config, before its latents' statistics are measured.
        training: the weights of the loss.
        batch: gives the crops of a step.
        like: the VAE's abstract module.
    """

    config: WanVAEConfig
    training: VaeTraining
    batch: Crops
    like: nnx.Module = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "like", abstract_part(WanVAE, self.config))

    def initial(self) -> Params:
        """The parameters of `initial_vae`."""
        return named_part(PART, initial_vae(self.config, self.training.plan.seed))

    def loss(
        self, params: Params, video: UInt8[Array, "b f h w 3"], key: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Errors of a posterior sample's reconstruction, and the divergence."""
        vae: WanVAE = assembled(PART, params, self.like)
        clean = to_float(video)
        posterior = vae.posterior_at_once(clean)
        made = vae.decode_at_once(sample(posterior, key)).astype(jnp.float32)
        error = made - clean
        fine = jnp.abs(error - blur(error)).mean()
        rough, kl = jnp.abs(error).mean(), divergence(posterior)
        loss = rough + self.training.fine * fine + self.training.kl * kl
        squares = jnp.square(error / 2).mean()
        return loss, {"psnr": -10 * jnp.log10(squares), "fine": fine, "kl": kl}

    def probe(self, params: Params) -> dict[str, float]:
        """PSNR in dB and `detail` of eight whole videos that training never saw."""
        vae = assembled(PART, params, self.like)
        videos = np.stack([self.batch.clips(SHOWN + i).video for i in range(8)])
        made = np.concatenate([reconstructed(vae, clip[None]) for clip in videos])
        return quality(videos, made)


def to_float(video: UInt8[Array, "b f h w 3"]) -> Float[Array, "b f h w 3"]:
    """Video in [-1, 1]."""
    return video.astype(jnp.float32) / 127.5 - 1


def sample(posterior: Posterior, key: Array) -> Float[Array, "b f h w c"]:
    """Raw latents drawn from the posterior."""
    noise = jax.random.normal(key, posterior.mean.shape)
    return posterior.mean + jnp.exp(posterior.log_variance / 2) * noise


def divergence(posterior: Posterior) -> Float[Array, ""]:
    """Mean divergence of the posterior from a standard normal, in nats per value."""
    mean, log_variance = posterior
    return 0.5 * (jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance).mean()


def blur(x: Float[Array, "b f h w 3"]) -> Float[Array, "b f y x 3"]:
    """Blurs each pixel with its neighbours, in binomial weights over 5x5 pixels."""
    for axis in (2, 3):
        size = x.shape[axis]
        wide = jnp.pad(x, [(2, 2) if i == axis else (0, 0) for i in range(5)], "edge")
        parts = (
            weight / 16 * jax.lax.slice_in_dim(wide, at, at + size, axis=axis)
            for at, weight in enumerate((1, 4, 6, 4, 1))
        )
        x = sum(parts, jnp.zeros_like(x))
    return x


@jax.jit
def reconstructed(
    vae: WanVAE, video: UInt8[Array, "b f h w 3"]
) -> Float[Array, "b f h w 3"]:
    """Videos encoded and decoded, in float32; the latents' statistics cancel."""
    mean = vae.posterior_at_once(to_float(video)).mean
    raw = vae.decode_at_once(vae.normalise(mean))
    return raw.astype(jnp.float32)


def quality(
    videos: UInt8[np.ndarray, "b f h w 3"], made: Float[np.ndarray, "b f h w 3"]
) -> dict[str, float]:
    """PSNR in dB, mean and lowest, of reconstructions, and the ratio of `detail`."""
    errors = (made - (videos / 127.5 - 1)) / 2
    psnr = -10 * np.log10(np.square(errors).mean(axis=(1, 2, 3, 4)))
    seen = [detail(video.astype(np.float32)) for video in made]
    right = [detail(video) for video in videos]
    return {
        "psnr": float(psnr.mean()),
        "psnr_lowest": float(psnr.min()),
        "detail": float(np.mean(seen) / np.mean(right)),
    }


def with_statistics(
    config: WanVAEConfig, raw: Float[np.ndarray, "b f h w c"]
) -> WanVAEConfig:
    """The config with the mean and standard deviation of raw latents, by channel."""
    axes = tuple(range(raw.ndim - 1))
    mean, std = raw.mean(axis=axes), raw.std(axis=axes)
    return replace(
        config,
        latents_mean=tuple(round(float(x), 4) for x in mean),
        latents_std=tuple(round(float(x), 4) for x in std),
    )
