"""The tiles of a request's video."""

from chorus_jax.families.tiling import tiling_of
from chorus_jax.request import Request

GRID, TILE = (21, 30, 52), (4, 4, 8)


def test_given_frames_are_in_tiles_of_their_own_with_token_budgets():
    plain, budgeted = Request("a cat"), Request("a cat", tokens="hsa-50", steps=50)
    assert tiling_of(plain, GRID, TILE, (0,)).tile == (3, 5, 13)
    assert tiling_of(budgeted, GRID, TILE, ()).tile == (3, 5, 13)
    assert tiling_of(budgeted, GRID, TILE, (0,)).tile == (1, 5, 13)
