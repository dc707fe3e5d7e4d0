"""The tiles of a video."""

from chorus_jax.families.tiling import tiling_of

GRID, TILE = (21, 30, 52), (4, 4, 8)


def test_given_frames_are_in_tiles_of_their_own():
    assert tiling_of(GRID, TILE, ()).tile == (3, 5, 13)
    assert tiling_of(GRID, TILE, (0,)).tile == (1, 5, 13)
