"""Clips as normalised latents."""

import jax
from jaxtyping import Array, Float

from chorus_jax.families.ltx_vae.vae import LTXVAE


@jax.jit
def encode(vae: LTXVAE, clip: Float[Array, "b f h w 3"]) -> Float[Array, "b t y x c"]:
    """Normalised latents of a clip in [-1, 1]: the posterior's mean."""
    return vae.encode(clip)
