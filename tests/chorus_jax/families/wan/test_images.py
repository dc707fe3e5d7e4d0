"""Channels of images beside those of noisy latents, whole and in a region's tiles."""

import jax
import jax.numpy as jnp
import numpy as np

from chorus_jax.checkpoints import abstract
from chorus_jax.families.forward import TileTokens
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT, WanForward
from chorus_jax.nets.tokens import Tiling, to_patches

PATCH, TILING = (1, 2, 2), Tiling((3, 4, 6), (3, 2, 3))


def forward(images, tokens=None):
    conditions = StreamConditions(None, None, None, None, images)
    sizes = {"heads": 1, "head_width": 6, "depth": 1, "mlp_width": 8, "time_width": 8}
    model = abstract(WanDiT, WanConfig(**sizes, in_channels=9, out_channels=4))
    given = {} if tokens is None else {"tokens": tokens}
    return WanForward(model, conditions, None, jnp.arange(2), **given)


def test_a_region_reads_the_channels_of_its_own_tiles():
    noisy = jax.random.normal(jax.random.key(0), (2, 3, 8, 12, 4))
    images = jax.random.normal(jax.random.key(1), (2, 3, 8, 12, 5))
    patches = to_patches(images, PATCH)
    joined = to_patches(jnp.concatenate([noisy, images], axis=-1), PATCH)
    own = to_patches(noisy, PATCH)
    np.testing.assert_array_equal(forward(patches).with_images(own), joined)
    active = jnp.array([[3, 0], [1, 2]])
    rows = jnp.arange(2)[:, None]
    tiles = lambda x: TILING.tiles(x)[rows, active].reshape(2, -1, x.shape[-1])
    tokens = TileTokens(TILING, active, (), jnp.zeros(2 * TILING.size))
    made = forward(patches, tokens).with_images(tiles(own))
    np.testing.assert_array_equal(made, tiles(joined))
    np.testing.assert_array_equal(forward(None).with_images(own), own)
