"""Patches and tiles: round trips, and which tokens share a tile."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.nets.tokens import Tiling, from_patches, to_patches

sides = st.tuples(*[st.integers(1, 3)] * 3)


@given(sides, sides, st.integers(1, 2))
def test_patches_come_back_as_latents(grid, patch, batch):
    shape = (batch, *(n * p for n, p in zip(grid, patch)), 2)
    latents = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    patches = to_patches(jnp.asarray(latents), patch)
    assert patches.shape == (batch, np.prod(grid), 2 * np.prod(patch))
    np.testing.assert_array_equal(from_patches(patches, grid, patch), latents)


@given(sides, sides)
def test_tiles_are_boxes_of_tokens_and_come_back(counts, tile):
    tiling = Tiling(tuple(n * s for n, s in zip(counts, tile)), tile)
    assert tiling.counts == counts and tiling.count == np.prod(counts)
    where = np.stack(np.unravel_index(np.arange(np.prod(tiling.grid)), tiling.grid), -1)
    tokens = jnp.asarray(where)[None]
    tiles = tiling.tiles(tokens)
    assert tiles.shape == (1, tiling.count, tiling.size, 3)
    boxes = np.asarray(tiles)[0] // np.array(tile)
    assert (boxes == boxes[:, :1]).all()
    assert len(np.unique(boxes[:, 0], axis=0)) == tiling.count
    np.testing.assert_array_equal(tiling.tokens(tiles), tokens)
    both = tiling.tiles(tokens[0], axis=0)
    np.testing.assert_array_equal(tiling.tokens(both, axis=0), tokens[0])


@pytest.mark.parametrize(
    "grid, tile",
    [
        ((21, 30, 52), (3, 5, 13)),
        ((21, 45, 80), (3, 5, 8)),
        ((1, 16, 16), (1, 4, 8)),
        ((1, 1, 1), (1, 1, 1)),
        ((7, 7, 7), (7, 7, 7)),
    ],
)
def test_tiles_that_fit_are_the_nearest_divisors(grid, tile):
    assert Tiling.fitting(grid, (4, 4, 8)).tile == tile


def test_tiles_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not divide.*Tiling.fitting"):
        Tiling((2, 5, 4), (1, 2, 2))
