"""Helpers for policies: computed steps and skipped steps of their tiers."""

from dataclasses import replace
from typing import Any

from chorus_jax.denoise.budget_steps import BudgetSteps
from chorus_jax.denoise.cost import computed
from chorus_jax.denoise.segments import segments
from chorus_jax.engine import planned
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import EveryStep, SkipSteps, StepCache
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.nets.tokens import Tiling

TILING = Tiling((1, 16, 16), (1, 1, 1))  # arbitrary: the steps do not depend on it


def effective(policy: Policy) -> Policy:
    """The policy with settings that have no effect reset to their defaults.

    So the results are equal for policies that compute the same. It resets the active
    share of a tier without a region step, the settings of regions if no tier has any,
    the gains of a tier whose reuse and regions end together, and skipped steps that
    every tier computes anyway.
    """
    skipped = {x for tier in policy.tiers for x in skipped_by(policy, tier)}
    tiers = tuple(map(_effective, policy.tiers))
    regional = any(tier.active < 1 for tier in tiers)
    skips = isinstance(policy.cache, SkipSteps)
    return replace(
        policy,
        tiers=tiers,
        regions=policy.regions if regional else Regions(),
        cache=skipping(tuple(sorted(skipped))) if skips else policy.cache,
    )


def skipped_by(policy: Policy, tier: Tier) -> set[int]:
    """The steps that the policy's step cache skips after the first step of a tier."""
    plan = planned(policy, tier, TILING)
    ran = {
        step
        for segment in segments(plan)
        if not isinstance(segment, BudgetSteps)
        for step in computed(segment, plan.steps)
    }
    return {*range(plan.start, plan.steps)} - ran


def decides(cache: StepCache) -> bool:
    """Whether it is not known before a run which steps a step cache computes."""
    return not isinstance(cache, EveryStep | ScheduledCache)


def skipping(steps: tuple[int, ...]) -> StepCache:
    """The step cache that skips these steps."""
    return SkipSteps(steps) if steps else EveryStep()


def _effective(tier: Tier) -> Tier:
    if tier.region_until <= tier.reuse_until + 1:
        tier = replace(tier, active=1.0)
    if tier.region_until == tier.reuse_until:
        tier = replace(tier, key_gain=1.0, output_gain=1.0)
    return tier


def with_tiers(policy: Policy, **changes: Any) -> Policy:
    """The policy with these fields of all its tiers changed."""
    return replace(
        policy, tiers=tuple(replace(tier, **changes) for tier in policy.tiers)
    )


def tier_at(steps: int, first: float, last: float, active: float) -> Tier:
    """A tier with threshold 0, from shares of the steps.

    Args:
        steps: number of steps.
        first: `reuse_until` as a share of the steps.
        last: `region_until` as a share of the steps.
        active: active share of the tokens; 1 if no step would be a region step.
    """
    # Rounded twice, since 0.7 * 45 is not exactly 31.5, as 45 * 7 / 10 is.
    step = lambda share: min(max(1, round(round(share * steps, 6))), steps - 1)
    start, end = step(first), step(last)
    return Tier(0.0, start, end, active if end > start + 1 else 1.0)
