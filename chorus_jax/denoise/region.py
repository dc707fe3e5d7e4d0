"""Regions: which tiles of a video are run in stage 2, and what they attend to.

Chorus (arXiv 2604.04451) finds the region with a language model and a segmenter. Here a
full step with the target's prompt finds it: where its velocity disagrees with the
source's (`velocity`), or where it attends to the words that the source's prompt lacks
(`attention`). Or the caller gives a mask. If the velocities disagree outside the region
too (for example because the background is another one), the loop runs all tokens
instead.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.inter_request.policy.policy import CONTEXTS, FINDERS
from chorus_jax.nets.tokens import Size, Tiling, to_patches

TINY = 1e-9  # least denominator: the source's velocity may be all zeros


@dataclass(frozen=True)
class Region:
    """The size of a region and how its tiles are chosen; static, set before the run.

    Attributes:
        tile: tokens of a tile along frames, height and width.
        core: the number of tiles that are run through all of stage 2.
        halo: the number of further tiles that are run up to step `open_until` and then
            replaced by the source's latents.
        open_until: the step at which the halo closes; solver and step cache are reset
            there. Without a halo it has no effect.
        reach: how many tiles the differences are dilated by before tiles are chosen.
        context: what active tokens attend to. `held`: all tokens, with the keys and
            values of inactive ones from the last full step (as in HSA, arXiv
            2605.06892). `dropped`: each other only. `sampled`: each other and `sampled`
            tiles of the background, which are run too and represent all of it.
        sampled: the number of sampled background tiles: 1 or more with the context
            `sampled`, else 0.
        found_by: how the region is found, one of `FINDERS`.
        limit: the disagreement outside the core, relative to the source's velocity (see
            `beyond`), above which all tokens are run.

    Raises:
        ValueError: for values that are out of range or do not go together.
    """

    tile: Size
    core: int
    halo: int = 0
    open_until: int = 0
    reach: int = 1
    context: str = "held"
    sampled: int = 0
    found_by: str = "velocity"
    limit: float = math.inf

    def __post_init__(self) -> None:
        if self.core < 1 or min(self.halo, self.reach) < 0:
            raise ValueError(
                "a region has at least one core tile, and no negative halo or reach; "
                f"got {self}"
            )
        if self.context not in CONTEXTS:
            raise ValueError(f"context is one of {CONTEXTS}, got {self.context!r}")
        if (self.sampled > 0) != (self.context == "sampled"):
            raise ValueError(
                "1 or more tiles are sampled with the context 'sampled' and none with "
                f"others, got {self.sampled} with {self.context!r}"
            )
        if not self.limit >= 0:
            raise ValueError(f"a limit is 0 or more, got {self.limit}")
        if self.found_by not in FINDERS:
            raise ValueError(f"found_by is one of {FINDERS}, got {self.found_by!r}")

    @property
    def tiles(self) -> int:
        """The number of tiles that are run while the halo is open."""
        return self.core + self.halo + self.sampled

    @property
    def closed_tiles(self) -> int:
        """The number of tiles that are run once the halo is closed."""
        return self.core + self.sampled

    def closing(self, first: int, last: int) -> int:
        """The first step without the halo, for region steps `first` to `last`
        (exclusive); `first` if there is none."""
        return min(max(self.open_until, first), last) if self.halo else first

    def check(self, tiling: Tiling) -> None:
        """Raises a ValueError if the video has fewer tiles than the region."""
        if self.tiles > tiling.count:
            raise ValueError(
                f"the region has {self.core} core, {self.halo} halo and "
                f"{self.sampled} sampled tiles, but the video has {tiling.count} in "
                "all: ask for a smaller share"
            )


def disagreement(
    target: Float[Array, "b f h w c"],
    source: Float[Array, "b f h w c"],
    patch: Size,
    tiling: Tiling,
) -> Float[Array, "b t"]:
    """The mean absolute difference of two velocities in each tile."""
    return by_tile(jnp.abs(target - source), patch, tiling)


def beyond(
    apart: Float[Array, "b t"], tiles: Int[Array, "b k"], source: Float[Array, "b ..."]
) -> Float[Array, " b"]:
    """The relative disagreement of two velocities outside a region.

    Args:
        apart: the disagreement in each tile (see `disagreement`).
        tiles: the tiles of the region.
        source: the source's velocity.

    Returns:
        The mean disagreement of the tiles outside the region, divided by the mean
        absolute velocity of the source; 0 if the region has all tiles.
    """
    others = apart.at[jnp.arange(len(apart))[:, None], tiles].set(0.0)
    mean = others.sum(axis=1) / max(apart.shape[1] - tiles.shape[1], 1)
    speed = jnp.abs(source).mean(axis=range(1, source.ndim))
    return mean / jnp.maximum(speed, TINY)


def attended(
    share: Float[Array, "b n"], apart: Float[Array, "b t"], tiling: Tiling
) -> Float[Array, "b t"]:
    """The mean attention of each tile to the differing words.

    Args:
        share: each token's share of attention to the differing words.
        apart: the disagreement of the velocities in each tile, returned instead for a
            video in which no tile attends to such words.
        tiling: the tiles of the video.
    """
    mean = tiling.tiles(share.astype(jnp.float32)).mean(axis=2)
    return jnp.where(mean.max(axis=1, keepdims=True) > 0, mean, apart)


def by_tile(
    values: Float[Array, "b f h w c"], patch: Size, tiling: Tiling
) -> Float[Array, "b t"]:
    """The mean over each tile of values on the latent grid."""
    return tiling.tiles(to_patches(values, patch)).mean(axis=(2, 3))


def dilated(scores: Float[Array, "b t"], counts: Size, reach: int) -> Array:
    """Each tile's score [b t], raised towards the highest one up to `reach` tiles away.

    A score rises by half of the difference only, so that a tile with a high score still
    ranks before its neighbours.
    """
    if not reach:
        return scores
    grid = scores.reshape(-1, *counts)
    window = (1, *(2 * reach + 1 if n > 1 else 1 for n in counts))
    grown = jax.lax.reduce_window(
        grid, -jnp.inf, jax.lax.max, window, (1,) * 4, "SAME"
    ).reshape(scores.shape)
    return (scores + grown) / 2


def chosen(scores: Float[Array, "b t"], region: Region) -> Int[Array, "b k"]:
    """The tiles that are run: core, then halo, then sampled background tiles.

    Core and halo are the tiles with the highest scores, highest first. The sampled
    tiles are evenly spread over the ranks of all other tiles.
    """
    ranked = jnp.argsort(-scores, axis=1, stable=True).astype(jnp.int32)
    active, sampled = region.core + region.halo, region.sampled
    others = np.linspace(active, scores.shape[1], sampled, endpoint=False)
    rows = np.concatenate([np.arange(active), others.astype(int)])
    return ranked[:, rows]


def token_bias(region: Region, tiling: Tiling, halo: bool) -> Float[Array, " n"]:
    """The attention bias of each token that is run: log(r) for a token that represents
    r tokens, so 0 for all but sampled background tokens."""
    active = region.core + (region.halo if halo else 0)
    counts = [1.0] * active
    if sampled := region.sampled:
        background = tiling.count - active
        counts += [background / sampled] * sampled
    return jnp.repeat(jnp.log(jnp.array(counts, jnp.float32)), tiling.size)


def core_and_sampled(region: Region) -> Bool[np.ndarray, " k"]:
    """True for the chosen tiles that are still run once the halo is closed."""
    halo = np.arange(region.tiles) - region.core
    return (halo < 0) | (halo >= region.halo)
