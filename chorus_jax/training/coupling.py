"""Noise coupled to its clip: the clip's random choices are encoded in its noise.

If noise is independent of the clip, then at high noise levels the object may be
anywhere: the best velocity is the mean over all places, and most of a gradient is due
to the place that happened to be drawn. Flow matching allows any noise for a clip as
long as noise is normal over all clips together (arXiv 2302.00482, 2304.14772, both with
optimal transport; 2310.03725, couplings that depend on the data). So here one direction
of the noise marks the token at the middle of the object's path, among all tokens where
this middle might be; further directions of that token's noise encode the object's size,
tilt and pace. Sampling does not change: it starts from any noise. The form of the
coupling is ours.

The noise stays exactly normal. Let r be a token's component along the first direction.
Then E = -log(normal CDF of r) is exponential with mean 1. Token i, which is the middle
with probability P_i, is said to ring at the time E_i / P_i. The first token to ring is
i with probability P_i, and the time of this ring is independent of i. So, to draw noise
in which the clip's own token rings first, the time of the first ring is drawn, and then
the later times of the other tokens.
"""

from typing import Final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32
from scipy.special import ndtri

from chorus_jax.training.world.chances import Chances

# Which token is first; the place within it (x, y); large or small; radius, tilt, pace
# and sideways motion.
COMPONENTS: Final = 8
EDGE: Final = 1e-3  # quantiles are kept at least this far from 0 and 1


def directions(frames: int, channels: int) -> Float32[np.ndarray, "k f c"]:
    """Orthonormal directions in the noise of one latent position over all frames.

    Each is a cosine over the frames after the first, in one channel, of the highest
    frequencies: clips themselves have little along these. There are `COMPONENTS` of
    them, or as many as there can be, (frames - 2) * channels.
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
    """The components along `directions` of each clip's noise, at every position.

    `drawn` holds the clips' `Chances`, flat. If all numbers of a row are NaN, the noise
    is independent of the clip.
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
    """Encodes a clip's chances in its noise, in place."""
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
    """Locates the middle `at` along one side of the frame, divided into cells.

    Returns:
        The cell, the quantile of `at` within the part of the cell that lies in the
        range from `least` to `most`, and every cell's share of this range.
    """
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
    """Normal noise in which the token `at` rings first (see the module's docstring)."""
    waiting = chance * rng.exponential() / chance.sum()
    others = rng.exponential(size=chance.shape)
    others[at] = 0
    waiting = np.maximum(waiting + others, 1e-12)
    # exp(-E) is accurate for long waiting times, 1 - exp(-E) for short ones.
    return np.where(waiting > 0.5, ndtri(np.exp(-waiting)), -ndtri(-np.expm1(-waiting)))
