"""Step plans from policy tiers, and source latents from cache entries."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.region import Region
from chorus_jax.families.forward import Geometry, Latents
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request.beside_budgets import own_budgets
from chorus_jax.nets.tokens import Tiling
from chorus_jax.token_budgets import ActiveSets


def planned(
    policy: Policy,
    tier: Tier,
    tiling: Tiling,
    split: int = 1,
    budgets: ActiveSets | None = None,
) -> StepPlan:
    """The step plan of a tier.

    Args:
        policy: gives the steps, regions and step cache.
        tier: one of the policy's tiers.
        tiling: the tiles of the video.
        split: the number of devices that a video's tokens are split over.
        budgets: token budgets; None for those of the policy's step cache, if any.
    """
    first, last = tier.reuse_until, tier.region_until
    opened = range(min(first + 1, last), last)
    region = region_plan(policy.regions, tier.active, tiling, opened, split)
    budgets = own_budgets(policy.cache) if budgets is None else budgets
    if budgets is not None and region is not None and region.context != "held":
        region = None  # token budgets need the context `held`
    return StepPlan.staged(
        policy.steps,
        first,
        last,
        region,
        cache=policy.cache,
        budgets=budgets,
    )


def within_expert(plan: StepPlan, experts: Sequence[str]) -> StepPlan:
    """The plan; without its region if the transformer changes during the region steps.

    A region needs one transformer throughout: its tokens attend to keys and values that
    this transformer's layers hold, and the region is found by comparing velocities at
    step K1.

    Args:
        plan: the plan of a tier.
        experts: the transformer of each step.
    """
    regional = [stretch for stretch in plan.stretches if stretch.region is not None]
    runs = [experts[stretch.first - 1 : stretch.last] for stretch in regional]
    if all(len(set(names)) == 1 for names in runs):
        return plan
    return without_region(plan)


def without_region(plan: StepPlan) -> StepPlan:
    """The plan with all tokens in every step."""
    first = plan.stretches[0]
    return StepPlan.plain(plan.steps, first.cache, plan.start, first.budgets)


def region_plan(
    regions: Regions, active: float, tiling: Tiling, regional: range, split: int = 1
) -> Region | None:
    """The region of a share of the tiles; None without region steps, or for all tiles.

    The numbers of core, halo and sampled tiles are such that the tokens of each divide
    over the devices.

    Args:
        regions: the policy's settings of regions.
        active: the share of the tiles that is run.
        tiling: the tiles of the video.
        regional: the region steps.
        split: the number of devices that a video's tokens are split over.
    """
    unit = split // math.gcd(split, tiling.size)
    even = lambda tiles: max(-(-round(tiles) // unit), 1) * unit
    tiles = even(active * tiling.count)
    if not regional or tiles >= tiling.count:
        return None
    halo = min(round(regions.halo * tiles) // unit * unit, tiles - unit)
    opened = round(regions.open * len(regional)) if halo else 0
    sampled = even(regions.sampled * (tiling.count - tiles))
    return Region(
        tile=tiling.tile,
        core=tiles - halo,
        halo=halo,
        open_until=regional.start + opened,
        reach=regions.reach,
        context=regions.context,
        sampled=sampled if regions.context == "sampled" else 0,
        found_by=regions.found_by,
        limit=regions.limit,
    )


def batch_of_one(array: np.ndarray, geometry: Geometry) -> Latents:
    """Stored latents as a float32 batch of one."""
    latents = geometry.unpacked(array)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32)[None], latents)


def padded(mask: Bool[np.ndarray, " m"], rows: int) -> Bool[np.ndarray, " r"]:
    """The mask cut, or filled with False, to `rows` tokens."""
    return np.pad(mask[:rows], (0, max(0, rows - len(mask))))
