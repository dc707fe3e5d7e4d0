"""From a tier of a policy to what the loop runs: stages, region, gains."""

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from chorus_jax.denoise.full_steps import GainTables
from chorus_jax.denoise.gains import Decay, make_gains
from chorus_jax.denoise.region_steps import Source
from chorus_jax.denoise.regions import (
    ContextKind,
    DroppedContext,
    HeldContext,
    RegionPlan,
    SampledContext,
)
from chorus_jax.denoise.stages import StagePlan
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.inter_request.store import Entry, Head
from chorus_jax.nets.tokens import Size, Tiling


@dataclass(frozen=True)
class Planned:
    """A hit's run: one program for each of these."""

    stages: StagePlan
    region: RegionPlan | None

    def equivalents(self, tiles: int) -> float:
        """The full steps' worth of its work, of a video of so many tiles."""
        if self.region is None:
            return self.stages.equivalents(1.0)
        closing = self.region.closing(self.stages.regional)
        halo = len(set(range(self.stages.regional.start, closing)) - self.skipped)
        closed = self.region.core + self.region.context.sampled
        return self.stages.equivalents(closed / tiles) + halo * self.region.halo / tiles

    @property
    def skipped(self) -> set[int]:
        """The steps that are not computed."""
        return set(self.stages.skipped)


def planned(
    policy: Policy, tier: Tier, grid: Size, tile: Size, split: int = 1
) -> Planned:
    """What a tier runs, of a video with this grid of tokens, over so many devices."""
    stages = StagePlan(policy.steps, tier.reuse_until, tier.region_until)
    tiling = Tiling.fitting(grid, tile)
    region = region_plan(policy.regions, tier.active, tiling, stages.regional, split)
    fixed = {stages.start, *stages.needed}
    if region is not None:
        fixed.add(region.closing(stages.regional))
    skipped = tuple(i for i in policy.skipped if i > stages.start and i not in fixed)
    return Planned(
        StagePlan(
            policy.steps,
            tier.reuse_until,
            tier.region_until,
            skipped=skipped,
            keep=policy.keep,
        ),
        region,
    )


def region_plan(
    regions: Regions, active: float, tiling: Tiling, regional: range, split: int = 1
) -> RegionPlan | None:
    """The region of a share of the tiles; None if no step has one, or if it is all.

    Core, halo and sample each have tokens that divide over `split` devices, as those of
    the whole video do.
    """
    unit = split // math.gcd(split, tiling.size)
    even = lambda tiles: max(-(-round(tiles) // unit), 1) * unit
    tiles = even(active * tiling.count)
    if not regional or tiles >= tiling.count:
        return None
    halo = min(round(regions.halo * tiles) // unit * unit, tiles - unit)
    sampled = even(regions.sampled * (tiling.count - tiles))
    contexts: dict[str, ContextKind] = {
        "held": HeldContext(),
        "dropped": DroppedContext(),
        "sampled": SampledContext(sampled),
    }
    return RegionPlan(
        tile=tiling.tile,
        core=tiles - halo,
        halo=halo,
        open_until=regional.start + round(regions.open * len(regional)),
        reach=regions.reach,
        context=contexts[regions.context],
        found_by=regions.found_by,
        limit=regions.limit,
    )


def reached(policy: Policy, score: float, head: Head) -> list[Tier]:
    """The tiers that a score reaches and an entry has latents for, rising."""
    kept = set(head.steps)
    return [
        tier
        for tier in policy.tiers
        if score >= tier.least and {tier.reuse_until, tier.region_until} <= kept
    ]


def usable(policy: Policy, steps: tuple[int, ...]) -> tuple[int, ...]:
    """These key steps if some tier could begin and fill up with them, else none.

    What a hit leaves is mostly good for exact repeats only; among the sources it would
    stand before those that can be used.
    """
    ends = ({tier.reuse_until, tier.region_until} for tier in policy.tiers)
    return steps if any(each <= set(steps) for each in ends) else ()


def source_of(entry: Entry, stages: StagePlan, sigmas: tuple[float, ...]) -> Source:
    """What a run takes from an entry; its velocity at K1 is that of the straight line
    to its next key step, or to its end.

    Of the key steps those that the plan keeps: what else an entry happens to have must
    not change the video.
    """
    first = stages.reuse_until
    start = entry.at(first).astype(np.float32)
    later = [step for step in entry.steps if step > first and step in stages.keep]
    near = entry.at(later[0]).astype(np.float32) if later else entry.final
    to = sigmas[later[0]] if later else 0.0
    velocity = (np.asarray(near, np.float32) - start) / (to - sigmas[first])
    end = entry.at(stages.region_until).astype(np.float32)
    arrays = (start, velocity, end)
    return Source(*(jnp.asarray(x, jnp.float32)[None] for x in arrays))


def gain_tables(
    stages: StagePlan,
    tier: Tier,
    score: float,
    differing: Bool[np.ndarray, " m"],
    rows: int,
) -> GainTables | None:
    """The gains of all steps for `rows` text tokens; None if the tier has none."""
    if tier.key_gain == tier.output_gain == 1:
        return None
    key_gain, output_gain = Decay(tier.key_gain), Decay(tier.output_gain)
    gains = make_gains(stages, key_gain, output_gain, score, padded(differing, rows))
    return GainTables(*(jnp.asarray(table)[:, None] for table in gains))


def padded(mask: Bool[np.ndarray, " m"], rows: int) -> Bool[np.ndarray, " r"]:
    """The mask cut or filled up to so many tokens."""
    return np.pad(mask[:rows], (0, max(0, rows - len(mask))))
