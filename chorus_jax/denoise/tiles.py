"""The video's latents by tiles: the patches that regions and token groups step."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Geometry, Latents
from chorus_jax.nets.tokens import from_patches, to_patches


def tiles_of(geometry: Geometry, latents: Latents) -> Float[Array, "b t s p"]:
    """The patches of all tiles of the video."""
    video = geometry.named(latents)[geometry.video]
    return geometry.tiling.tiles(to_patches(video, geometry.patch))


def with_tiles(
    geometry: Geometry, latents: Latents, tiles: Float[Array, "b t s p"]
) -> Latents:
    """These latents with a video of these patches."""
    tokens = geometry.tiling.tokens(tiles)
    video = from_patches(tokens, geometry.grid, geometry.patch)
    return geometry.replaced(latents, video)


def taken(
    tiles: Float[Array, "b t s p"], rows: Int[Array, "b k"]
) -> Float[Array, "b k s p"]:
    """Some tiles of each request."""
    return tiles[jnp.arange(len(tiles))[:, None], rows]


def written(
    tiles: Float[Array, "b t s p"],
    rows: Int[Array, "b k"],
    new: Float[Array, "b k s p"],
) -> Float[Array, "b t s p"]:
    """The tiles with some of each request replaced."""
    return tiles.at[jnp.arange(len(tiles))[:, None], rows].set(new)
