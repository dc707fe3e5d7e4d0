"""The tiles that a request's video is cut into."""

from chorus_jax.nets.tokens import Size, Tiling
from chorus_jax.request import Request


def tiling_of(
    request: Request, grid: Size, tile: Size, given: tuple[int, ...]
) -> Tiling:
    """The tiles of a request's video.

    With token budgets, frames that are given without noise are in tiles of their own:
    these are run once only.

    Args:
        request: the request.
        grid: the video's tokens along frames, height and width.
        tile: the wanted tokens of a tile (see `Tiling.fitting`).
        given: the frames of the grid that are given without noise.
    """
    if given and request.token_budgets is not None:
        tile = (1, *tile[1:])
    return Tiling.fitting(grid, tile)
