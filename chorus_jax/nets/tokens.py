"""Video tokens: patches of latents, and tiles of tokens.

A token is a patch of the latents; tokens are ordered frame by frame and row by row. A
tile is a box of tokens. In tile order the tokens of a tile are contiguous, so that a
short list of tiles describes a region.
"""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, Float, Int

Size = tuple[int, int, int]


def to_patches(latents: Float[Array, "b f h w i"], patch: Size) -> Array:
    """The patch of every token, [b n p]; p is the number of values in a patch."""
    b, f, h, w, i = latents.shape
    pf, ph, pw = patch
    x = latents.reshape(b, f // pf, pf, h // ph, ph, w // pw, pw, i)
    return x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(b, -1, pf * ph * pw * i)


def from_patches(
    patches: Float[Array, "b n p"], grid: Size, patch: Size
) -> Float[Array, "b f h w i"]:
    """The latents of these patches; `grid` is the number of tokens along each axis."""
    (f, h, w), (pf, ph, pw) = grid, patch
    x = patches.reshape(-1, f, h, w, pf, ph, pw, patches.shape[-1] // (pf * ph * pw))
    x = x.transpose(0, 1, 4, 2, 5, 3, 6, 7)
    return x.reshape(-1, f * pf, h * ph, w * pw, x.shape[-1])


@dataclass(frozen=True)
class Tiling:
    """A grid of tokens cut into tiles.

    Attributes:
        grid: tokens along frames, height and width.
        tile: tokens of a tile along the same axes.

    Raises:
        ValueError: if tiles do not divide the grid.
    """

    grid: Size
    tile: Size

    def __post_init__(self) -> None:
        if any(size % side for size, side in zip(self.grid, self.tile)):
            raise ValueError(
                f"tiles of {self.tile} tokens do not divide a grid of {self.grid}: "
                "choose with Tiling.fitting"
            )

    @classmethod
    def fitting(cls, grid: Size, tile: Size) -> "Tiling":
        """The tiling of a grid by tiles that divide it and are nearest to `tile`.

        Along each axis, the side of a tile is the divisor of the grid's side that is
        nearest by ratio to the wanted side; of two equally near, the smaller one. For
        example, for a grid of 21x30x52 a wanted tile of 4x4x8 becomes 3x5x13.
        """
        f, h, w = (_divisor(size, side) for size, side in zip(grid, tile))
        return cls(grid, (f, h, w))

    @property
    def counts(self) -> Size:
        """Tiles along frames, height and width."""
        f, h, w = (size // side for size, side in zip(self.grid, self.tile))
        return f, h, w

    @property
    def count(self) -> int:
        """The number of tiles."""
        return int(np.prod(self.counts))

    @property
    def size(self) -> int:
        """Tokens in a tile."""
        return int(np.prod(self.tile))

    @functools.cached_property
    def order(self) -> Int[np.ndarray, " n"]:
        """The indices of the tokens, listed in tile order."""
        sides = [x for pair in zip(self.counts, self.tile) for x in pair]
        tokens = np.arange(int(np.prod(self.grid))).reshape(sides)
        return tokens.transpose(0, 2, 4, 1, 3, 5).reshape(-1)

    @functools.cached_property
    def place(self) -> Int[np.ndarray, " n"]:
        """The position of each token in tile order."""
        return np.argsort(self.order)

    def tiles(self, x: Array, axis: int = 1) -> Array:
        """Replaces an axis of tokens by two: tiles, and the tokens of each tile."""
        split = (*x.shape[:axis], self.count, self.size, *x.shape[axis + 1 :])
        return x.take(self.order, axis=axis).reshape(split)

    def tokens(self, x: Array, axis: int = 1) -> Array:
        """Merges the axes of tiles and of their tokens: the inverse of `tiles`."""
        joined = (*x.shape[:axis], self.count * self.size, *x.shape[axis + 2 :])
        return x.reshape(joined).take(self.place, axis=axis)


def _divisor(size: int, wanted: int) -> int:
    fitting = (side for side in range(1, size + 1) if size % side == 0)
    return min(fitting, key=lambda side: (max(side / wanted, wanted / side), side))
