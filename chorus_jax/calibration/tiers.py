"""Policies taken apart: what their tiers need and run, and step lists as caches."""

from dataclasses import replace
from typing import Any

from chorus_jax.denoise.budget_steps import BudgetSteps
from chorus_jax.denoise.cost import computed
from chorus_jax.denoise.segments import segments
from chorus_jax.engine import planned
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import EveryStep, SkipSteps, StepCache
from chorus_jax.nets.tokens import Tiling

TILING = Tiling((1, 16, 16), (1, 1, 1))  # of any video: which steps are computed


def effective(policy: Policy) -> Policy:
    """The policy without what does nothing: equal for policies that compute alike.

    The active share does nothing in a tier without a region step, nor how regions are
    chosen if no tier has one; gains do nothing in one without a stage 2, and skipped
    steps that every tier computes all the same are not skipped.
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
    """The steps that a run of a tier does not compute, of those that a list skips."""
    plan = planned(policy, tier, TILING)
    ran = {
        step
        for segment in segments(plan)
        if not isinstance(segment, BudgetSteps)
        for step in computed(segment, plan.steps)
    }
    return {*range(plan.start, plan.steps)} - ran


def skip_list(cache: StepCache) -> tuple[int, ...]:
    """The steps that a step cache skips by a fixed list."""
    return cache.steps if isinstance(cache, SkipSteps) else ()


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
    """A tier for every score, from shares of the steps; without a region if no step
    would be regional."""
    # 0.7 * 45 is not 31.5: rounded twice, as 45 * 7 / 10 is.
    step = lambda share: min(max(1, round(round(share * steps, 6))), steps - 1)
    start, end = step(first), step(last)
    return Tier(0.0, start, end, active if end > start + 1 else 1.0)


def needed(*tiers: Tier) -> tuple[int, ...]:
    """The key steps whose latents these tiers start from and fill up with."""
    return tuple(sorted({k for t in tiers for k in (t.reuse_until, t.region_until)}))


def with_needed_steps(policy: Policy) -> Policy:
    """The policy with no more key steps than its tiers need: where each begins and
    ends, and, if it has a region, the next one, which the source's velocity is of."""
    keep = {*needed(*policy.tiers)}
    for tier in policy.tiers:
        later = [step for step in policy.keep if step > tier.reuse_until]
        if tier.active < 1 and tier.region_until > tier.reuse_until and later:
            keep.add(later[0])
    return replace(policy, keep=tuple(sorted(keep)))
