"""Encodes clips to normalised latents."""

import jax
from jaxtyping import Array, Float

from chorus_jax.families.ltx_vae.vae import LTXVAE


@jax.jit
def encode(vae: LTXVAE, clip: Float[Array, "b f h w 3"]) -> Float[Array, "b t y x c"]:
    """The normalised latents (the posterior's mean) of a clip in [-1, 1]."""
    return vae.encode(clip)
