"""A region that the caller gives: the tiles it takes, and the steps that run it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32

from chorus_jax.denoise.region import by_tile
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.nets.tokens import Size, Tiling, from_patches

BUCKETS = 8  # sizes of given regions: a program each


@dataclass(frozen=True, eq=False)
class Given:
    """The tiles that a caller's region touches.

    Attributes:
        tiles: True for each tile that the region touches.
        tiling: how tokens are divided into tiles.
        patch: latents of a token along frames, height and width.
    """

    tiles: Bool[np.ndarray, " t"]
    tiling: Tiling
    patch: Size

    @classmethod
    def of(
        cls, region: Float32[np.ndarray, "f h w"], tiling: Tiling, patch: Size
    ) -> "Given":
        """The tiles with a part of the region, that is with anything above 0."""
        inside = jnp.asarray(region > 0, jnp.float32)[None, ..., None]
        return cls(np.asarray(by_tile(inside, patch, tiling)[0] > 0), tiling, patch)

    @property
    def mask(self) -> Float32[Array, "1 f h w 1"]:
        """1 on all of these tiles, on the grid of latents."""
        size = (1, self.tiling.count, self.tiling.size, math.prod(self.patch))
        flags = jnp.asarray(self.tiles, jnp.float32)[None, :, None, None]
        patches = self.tiling.tokens(jnp.broadcast_to(flags, size))
        return from_patches(patches, self.tiling.grid, self.patch)

    @property
    def active(self) -> float:
        """The share of tiles that is run: at least the region's, one of few sizes."""
        return math.ceil(self.tiles.mean() * BUCKETS) / BUCKETS

    def policy(self, policy: Policy) -> Policy:
        """A policy that takes the region for the whole truth: no halo, no limit."""
        regions = replace(policy.regions, halo=0.0, limit=math.inf)
        return replace(policy, regions=regions)

    def tier(self, tiers: Sequence[Tier], steps: Sequence[int]) -> Tier | None:
        """The highest of rising tiers that runs the region, None if none can.

        One without steps for it has them up to the last of a source's key steps.
        """
        for tier in reversed(tiers):
            first = tier.reuse_until + 2  # the step before shows all tokens
            end = tier.region_until if tier.region_until >= first else max(steps)
            if end >= first:
                return replace(tier, region_until=end, active=self.active)
        return None
