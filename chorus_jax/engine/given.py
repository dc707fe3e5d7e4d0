"""Regions given by the caller: the tiles that are run, and the steps that run them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32

from chorus_jax.denoise.region import by_tile
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.nets.tokens import Size, Tiling, from_patches

REPAIR = 5  # the last 1 / REPAIR of the steps run all tokens, against seams
BUCKETS = 8  # given regions run a multiple of 1/8 of the tiles: one program per share


@dataclass(frozen=True, eq=False)
class Given:
    """The tiles that a caller's region touches.

    Attributes:
        tiles: True for each tile that the region touches.
        tiling: how tokens are divided into tiles.
        patch: latents per token along frames, height and width.
    """

    tiles: Bool[np.ndarray, " t"]
    tiling: Tiling
    patch: Size

    @classmethod
    def of(
        cls, region: Float32[np.ndarray, "f h w"], tiling: Tiling, patch: Size
    ) -> "Given":
        """The tiles that a region touches: those in which it is above 0 anywhere."""
        inside = jnp.asarray(region > 0, jnp.float32)[None, ..., None]
        return cls(np.asarray(by_tile(inside, patch, tiling)[0] > 0), tiling, patch)

    @property
    def mask(self) -> Float32[Array, "1 f h w 1"]:
        """The tiles as a mask on the latent grid: 1 inside, 0 outside."""
        size = (1, self.tiling.count, self.tiling.size, math.prod(self.patch))
        flags = jnp.asarray(self.tiles, jnp.float32)[None, :, None, None]
        patches = self.tiling.tokens(jnp.broadcast_to(flags, size))
        return from_patches(patches, self.tiling.grid, self.patch)

    @property
    def active(self) -> float:
        """The share of tiles to run: the region's share, rounded up to an eighth."""
        return math.ceil(self.tiles.mean() * BUCKETS) / BUCKETS

    def policy(self, policy: Policy) -> Policy:
        """The policy changed to run the region as given: without halo or limit."""
        regions = replace(policy.regions, halo=0.0, limit=math.inf)
        return replace(policy, regions=regions)

    def tier(self, tiers: Sequence[Tier], steps: int) -> Tier | None:
        """The highest tier that can run the region, changed to run it.

        A tier without region steps gets some, up to the last 1 / `REPAIR` of all steps.

        Args:
            tiers: a policy's tiers, rising.
            steps: the number of steps.

        Returns:
            The tier; None if no tier leaves room for region steps.
        """
        last = steps - math.ceil(steps / REPAIR)
        for tier in reversed(tiers):
            first = tier.reuse_until + 2  # the step before it runs all tokens
            end = tier.region_until if tier.region_until >= first else last
            if end >= first:
                return replace(tier, region_until=end, active=self.active)
        return None
