"""Conversion between a video's latents and the patches of its tiles."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Geometry, Latents
from chorus_jax.nets.tokens import from_patches, to_patches


def tiles_of(geometry: Geometry, latents: Latents) -> Float[Array, "b t s p"]:
    """The patches of all tiles of the video, from its latents."""
    video = geometry.named(latents)[geometry.video]
    return geometry.tiling.tiles(to_patches(video, geometry.patch))


def with_tiles(
    geometry: Geometry, latents: Latents, tiles: Float[Array, "b t s p"]
) -> Latents:
    """The latents with the video's stream replaced by the patches in `tiles`."""
    tokens = geometry.tiling.tokens(tiles)
    video = from_patches(tokens, geometry.grid, geometry.patch)
    return geometry.replaced(latents, video)


def taken(
    tiles: Float[Array, "b t s p"], rows: Int[Array, "b k"]
) -> Float[Array, "b k s p"]:
    """The tiles with indices `rows` of each request."""
    return tiles[jnp.arange(len(tiles))[:, None], rows]


def written(
    tiles: Float[Array, "b t s p"],
    rows: Int[Array, "b k"],
    new: Float[Array, "b k s p"],
) -> Float[Array, "b t s p"]:
    """The tiles, with those at indices `rows` of each request replaced by `new`."""
    return tiles.at[jnp.arange(len(tiles))[:, None], rows].set(new)
