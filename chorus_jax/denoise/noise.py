"""Noise of denoising runs; each request's depends on its own seed alone."""

import jax
from jaxtyping import Array, Int, Integer, Key

from chorus_jax.families.forward import Geometry, Latents

RENOISING = 2**17  # folded into a seed for noise that is added during a run


def initial(seeds: Integer[Array, " b"], geometry: Geometry) -> Latents:
    """Standard normal latents that runs start from."""
    return drawn(jax.vmap(jax.random.key)(seeds), geometry)


def of_step(
    seeds: Integer[Array, " b"], i: Int[Array, " b"], geometry: Geometry
) -> Latents:
    """Standard normal latents that a stochastic solver adds in step `i` of each run."""

    def key(seed: Array, i: Array) -> Array:
        return jax.random.fold_in(
            jax.random.fold_in(jax.random.key(seed), RENOISING), i
        )

    return drawn(jax.vmap(key)(seeds, i), geometry)


def drawn(keys: Key[Array, " b"], geometry: Geometry) -> Latents:
    """Standard normal latents, one row per key."""
    arrays = {}
    for place, (name, shape) in enumerate(geometry.streams):

        def draw(key: Array, place: int = place, shape: tuple = shape) -> Array:
            # The first stream gets the same noise as in a model with one stream.
            key = jax.random.fold_in(key, place) if place else key
            return jax.random.normal(key, shape)

        arrays[name] = jax.vmap(draw)(keys)
    return geometry.latents(arrays)
