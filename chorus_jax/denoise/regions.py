"""Regions: which tiles of a video are run in stage 2, and what they attend to.

Chorus (arXiv 2604.04451) finds them with a language model and a segmenter. Here the
first full step with the target's prompt shows them: where its velocity disagrees with
the source's, the two videos will differ (`velocity`), or where it attends to the words
that the source's prompt lacks (`attention`). Or the caller says (`given`). Where the
two disagree outside the region too, the videos differ everywhere, as on another
ground, and everything is run: the loop finds that out itself.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.inter_request.policy.policy import FINDERS
from chorus_jax.nets.tokens import Size, Tiling, to_patches

TINY = 1e-9  # a source that does not move at all


@dataclass(frozen=True)
class HeldContext:
    """Active tokens attend to all: the keys and values of the others are those of the
    last full step (as in HSA, arXiv 2605.06892)."""

    sampled = 0


@dataclass(frozen=True)
class DroppedContext:
    """Active tokens attend to each other only."""

    sampled = 0


@dataclass(frozen=True)
class SampledContext:
    """Active tokens attend to each other and to `sampled` tiles of the background,
    which are run too; each stands for its share of the background."""

    sampled: int

    def __post_init__(self) -> None:
        if self.sampled < 1:
            raise ValueError(f"at least one tile is sampled, got {self.sampled}")


ContextKind = HeldContext | DroppedContext | SampledContext


@dataclass(frozen=True)
class RegionPlan:
    """How large a region is, known before the run (hashable, one program each).

    A tile is a box of tokens. The `core` tiles are active through stage 2, the `halo`
    tiles up to step `open_until`; all others are the source's. `reach` tiles of
    dilation are added around where videos differ before the most differing tiles are
    chosen. `found_by` is one of `FINDERS`. Beyond `limit`, in units of the source's
    velocity (see `beyond`), everything is run.
    """

    tile: Size
    core: int
    halo: int
    open_until: int
    reach: int = 1
    context: ContextKind = HeldContext()
    found_by: str = "velocity"
    limit: float = math.inf

    def __post_init__(self) -> None:
        if self.core < 1 or min(self.halo, self.reach) < 0:
            raise ValueError(
                "a region has at least one core tile, and no negative halo or reach; "
                f"got {self}"
            )
        if not self.limit >= 0:
            raise ValueError(f"a limit is 0 or more, got {self.limit}")
        if self.found_by not in FINDERS:
            raise ValueError(f"found_by is one of {FINDERS}, got {self.found_by!r}")

    @property
    def tiles(self) -> int:
        """Tiles that are run while the halo is open."""
        return self.core + self.halo + self.context.sampled

    def closing(self, regional: range) -> int:
        """The first region step without the halo, of these region steps."""
        return min(max(self.open_until, regional.start), regional.stop)

    def check(self, tiling: Tiling) -> None:
        """ValueError if the video has fewer tiles than the region."""
        if self.tiles > tiling.count:
            raise ValueError(
                f"the region has {self.core} core, {self.halo} halo and "
                f"{self.context.sampled} sampled tiles, but the video has "
                f"{tiling.count} in all: ask for a smaller share"
            )


def disagreement(
    target: Float[Array, "b f h w c"],
    source: Float[Array, "b f h w c"],
    patch: Size,
    tiling: Tiling,
) -> Float[Array, "b t"]:
    """How far two velocities are apart in each tile: the mean absolute difference."""
    return by_tile(jnp.abs(target - source), patch, tiling)


def beyond(
    apart: Float[Array, "b t"], tiles: Int[Array, "b k"], source: Float[Array, "b ..."]
) -> Float[Array, " b"]:
    """How far velocities are `apart` outside these tiles: the mean disagreement over
    the mean absolute velocity of the source, 0 if these are all tiles."""
    rest = apart.at[jnp.arange(len(apart))[:, None], tiles].set(0.0)
    mean = rest.sum(axis=1) / max(apart.shape[1] - tiles.shape[1], 1)
    speed = jnp.abs(source).mean(axis=range(1, source.ndim))
    return mean / jnp.maximum(speed, TINY)


def attended(
    share: Float[Array, "b n"], apart: Float[Array, "b t"], tiling: Tiling
) -> Float[Array, "b t"]:
    """Each tile's mean share of attention to the words that differ; of a video without
    such words how far its velocities are `apart`."""
    mean = tiling.tiles(share.astype(jnp.float32)).mean(axis=2)
    return jnp.where(mean.max(axis=1, keepdims=True) > 0, mean, apart)


def by_tile(
    values: Float[Array, "b f h w c"], patch: Size, tiling: Tiling
) -> Float[Array, "b t"]:
    """The mean over each tile of values on the latent grid."""
    return tiling.tiles(to_patches(values, patch)).mean(axis=(2, 3))


def dilated(scores: Float[Array, "b t"], counts: Size, reach: int) -> Array:
    """Each tile's highest score among the tiles up to `reach` away, [b t].

    Half of what it gained: a neighbour never comes before the tile itself.
    """
    if not reach:
        return scores
    grid = scores.reshape(-1, *counts)
    window = (1, *(2 * reach + 1 if n > 1 else 1 for n in counts))
    near = jax.lax.reduce_window(
        grid, -jnp.inf, jax.lax.max, window, (1,) * 4, "SAME"
    ).reshape(scores.shape)
    return (scores + near) / 2


def chosen(scores: Float[Array, "b t"], region: RegionPlan) -> Int[Array, "b k"]:
    """The tiles that are run: core, halo, and then those sampled of the background.

    The most differing first; the sampled ones are evenly spread over the ranks of all
    others.
    """
    ranked = jnp.argsort(-scores, axis=1, stable=True).astype(jnp.int32)
    active, sampled = region.core + region.halo, region.context.sampled
    rest = np.linspace(active, scores.shape[1], sampled, endpoint=False)
    rows = np.concatenate([np.arange(active), rest.astype(int)])
    return ranked[:, rows]


def token_bias(region: RegionPlan, tiling: Tiling, halo: bool) -> Float[Array, " n"]:
    """One number a token that is run: log(r) for one that stands for r tokens."""
    active = region.core + (region.halo if halo else 0)
    counts = [1.0] * active
    if sampled := region.context.sampled:
        background = tiling.count - active
        counts += [background / sampled] * sampled
    return jnp.repeat(jnp.log(jnp.array(counts, jnp.float32)), tiling.size)


def core_and_sampled(region: RegionPlan) -> Bool[np.ndarray, " k"]:
    """Which of the chosen tiles are still run once the halo is closed."""
    halo = np.arange(region.tiles) - region.core
    return (halo < 0) | (halo >= region.halo)
