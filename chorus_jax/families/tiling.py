"""The tiles that a video is cut into."""

from chorus_jax.nets.tokens import Size, Tiling


def tiling_of(grid: Size, tile: Size, given: tuple[int, ...]) -> Tiling:
    """The tiles of a video.

    Frames that are given without noise are in tiles of their own: they are no region,
    and token budgets run them once only.

    Args:
        grid: the video's tokens along frames, height and width.
        tile: the wanted tokens of a tile (see `Tiling.fitting`).
        given: the frames of the grid that are given without noise.
    """
    return Tiling.fitting(grid, (1, *tile[1:]) if given else tile)
