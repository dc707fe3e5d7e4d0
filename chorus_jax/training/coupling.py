"""Noise that goes with a clip: what chance decided in the clip is in its noise.

If a clip's noise has nothing to do with it, then at much noise every place is one where
the object may be, the best velocity is the mean over all of them, and of a gradient
most is the place that happened to be drawn. Flow matching allows any noise for a clip
as long as noise is normal over all clips together (arXiv 2302.00482, 2304.14772, there
by optimal transport; 2310.03725, couplings that depend on the data). So here the token
at the middle of the object's way is the one that is largest, in one direction of its
noise, of all tokens where that middle might be; and along further directions it has the
object's size, tilt and pace. Sampling does not change: it starts from any noise. The
form of the coupling is ours.

That noise stays normal is exact. Let each token's component r along the first direction
stand for a waiting time E = -log(normal CDF of r), exponential with mean 1, and let the
token i, whose chance to be the middle is P_i, ring at E_i / P_i. The first that rings
is i with probability P_i, and when it rings does not depend on which it is. So noise
whose first token is the one we have is drawn by drawing the time, then all others'
beyond it.
"""

from typing import Final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32
from scipy.special import ndtri

from chorus_jax.training.world.chances import Chances

# Who is first; the rest of its place; size, radius, tilt, pace and way to one side.
COMPONENTS: Final = 8
EDGE: Final = 1e-3  # quantiles are kept so far from 0 and 1


def directions(frames: int, channels: int) -> Float32[np.ndarray, "k f c"]:
    """Orthonormal directions of a place's noise over all frames.

    They go up and down in time, at the highest rates, in one channel each, and leave
    the first frame out: clips themselves have little along them. There are
    `COMPONENTS` of them, or as many as there can be, (frames - 2) * channels.
    """
    later = frames - 1
    count = min(COMPONENTS, max(0, later - 1) * channels)
    vectors = np.zeros((count, frames, channels), np.float32)
    middles = np.pi * (np.arange(later) + 0.5) / later
    for k, vector in enumerate(vectors):
        rate, channel = later - 1 - k // channels, k % channels
        vector[1:, channel] = np.sqrt(2 / later) * np.cos(rate * middles)
    return vectors


def components(
    drawn: Float[np.ndarray, "b n"], grid: tuple[int, int], rng: np.random.Generator
) -> Float32[np.ndarray, "b h w k"]:
    """The components along `directions` of each clip's noise, at every place.

    `drawn` are the clips' `Chances`, flat. With nothing but `nan` the noise is free.
    """
    made = rng.standard_normal((len(drawn), *grid, COMPONENTS), np.float32)
    for noise, row in zip(made, drawn):
        if not np.isnan(row).all():
            _couple(noise, Chances.of_row(row), rng)
    return made


def coupled(
    noise: Float[Array, "b f h w c"], components: Float[Array, "b h w k"]
) -> Float[Array, "b f h w c"]:
    """The noise with these components along `directions` instead of its own."""
    along = jnp.asarray(directions(noise.shape[1], noise.shape[-1]))
    own = jnp.einsum("bfhwc,kfc->bhwk", noise, along)
    change = components[..., : len(along)] - own
    return noise + jnp.einsum("bhwk,kfc->bfhwc", change, along)


def _couple(
    noise: Float32[np.ndarray, "h w k"], chances: Chances, rng: np.random.Generator
) -> None:
    """Puts a clip's chances into its noise."""
    height, width = noise.shape[:2]
    sides = np.stack(chances[:3], axis=1).tolist()
    (x, across), (y, down) = (
        _cell(least, most, at, count)
        for (least, most, at), count in zip(sides, (width, height))
    )
    (column, right), (row, below) = x, y
    noise[..., 0] = _first(np.outer(down, across), (row, column), rng)
    large = (chances.large + rng.random()) / 2
    drawn_parts = (chances.radius, chances.tilt, chances.pace, chances.sideways)
    for k, quantile in enumerate((right, below, large, *drawn_parts), start=1):
        if not np.isnan(quantile):
            noise[row, column, k] = ndtri(np.clip(quantile, EDGE, 1 - EDGE))


def _cell(
    least: float, most: float, at: float, count: int
) -> tuple[tuple[int, float], Float[np.ndarray, " count"]]:
    """Along one side: the cell and the quantile within what of it is in the range; and
    every cell's share of the range."""
    at = min(max(at, least), most)
    cell = min(int(at * count), count - 1)
    starts = np.clip(np.arange(count) / count, least, most)
    ends = np.clip((np.arange(count) + 1) / count, least, most)
    size = ends[cell] - starts[cell]
    within = (at - starts[cell]) / size if size > 0 else float("nan")
    span = most - least
    shares = (ends - starts) / span if span > 0 else np.eye(count)[cell]
    return (cell, float(within)), shares


def _first(
    chance: Float[np.ndarray, "h w"], at: tuple[int, int], rng: np.random.Generator
) -> Float[np.ndarray, "h w"]:
    """Normal numbers of which the one `at` this place rings first (see above)."""
    waiting = chance * rng.exponential() / chance.sum()
    others = rng.exponential(size=chance.shape)
    others[at] = 0
    waiting = np.maximum(waiting + others, 1e-12)
    # Of long waiting exp(-E) is exact, of short ones 1 - exp(-E).
    return np.where(waiting > 0.5, ndtri(np.exp(-waiting)), -ndtri(-np.expm1(-waiting)))
