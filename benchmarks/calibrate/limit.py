"""Measures the limit of regions: the largest accepted difference outside a region.

Above this limit, all tokens are run. It cannot be searched for like other settings:
while it is too high, low scores lose too much, so thresholds rise until few videos
differ at all; from there, a lower limit only computes more. So it is measured first. A
plan with a region is run, with one limit after the other, on all targets that differ
from their source. Its loss is measured against the same plan with all tokens run, not
against full runs, so that only the region's part of the loss counts. The highest limit
whose loss is allowed is chosen. What is allowed is what a calibrated policy may lose,
not half of it as for the search: the best of three limits is hardly a lucky one.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.calibrate.runs import SceneRuns
from benchmarks.reuse import losses
from chorus_jax.calibration.moves import LIMITS, Moves
from chorus_jax.calibration.plan_table import plans
from chorus_jax.calibration.tiers import with_tiers
from chorus_jax.calibration.verdict import Verdict, verdict
from chorus_jax.inter_request.policy.policy import Policy, Tier


@dataclass(frozen=True)
class Limited:
    """The loss of a plan with a limit, compared with running all tokens.

    Attributes:
        limit: the difference outside the region above which all tokens are run.
        verdict: the loss and the cost.
    """

    limit: float
    verdict: Verdict

    def row(self) -> dict[str, Any]:
        """The row of this measurement: limit, cost, and losses."""
        most = self.verdict.most_lost
        lost = {f"{name}_loss": loss.mean for name, loss in most.items()}
        what = {"limit": self.limit, "targets": self.verdict.targets}
        computed = {
            "equivalents": self.verdict.equivalents,
            "excess": self.verdict.excess,
        }
        return {"row": "limit", **what, **computed, **lost}


def limits(runs: SceneRuns, moves: Moves, policy: Policy) -> list[Limited]:
    """Measures limits from the highest one down to the first whose loss is allowed.

    Empty if no plan has a region at this number of steps, or if none of the targets
    that differ from their source has a score high enough for the plan.
    """
    tier = regional(policy.steps)
    if tier is None:
        return []
    alone = replace(policy, tiers=(tier,))
    differing = [x for x in runs.targets if x.changed and x.tier(alone)]
    if not differing:
        return []
    all_tokens = runs.records(with_tiers(alone, active=1.0), differing)
    full, tried = {record.number: record for record in all_tokens}, list[Limited]()
    tiers = dict.fromkeys(full, tier)
    for limit in sorted(LIMITS, reverse=True):
        regions = replace(alone.regions, limit=limit)
        ours = runs.records(replace(alone, regions=regions), differing)
        tried.append(Limited(limit, verdict(ours, full, losses.LIMITS, tiers)))
        if tried[-1].verdict.excess == 0:
            break
    return tried


def regional(steps: int) -> Tier | None:
    """The plan with a region that reuses the fewest steps, then runs the fewest tokens.

    Since it reuses so few steps, its loss is mainly due to the region. None if no plan
    has a region.
    """
    tiers = [tier for tier in plans(steps) if tier.active < 1]
    return min(tiers, key=lambda x: (x.reuse_until, x.active), default=None)


def limited(policy: Policy, tried: list[Limited]) -> Policy:
    """The policy with the last tried limit; unchanged if no limit was tried."""
    if not tried:
        return policy
    return replace(policy, regions=replace(policy.regions, limit=tried[-1].limit))


def rows_of(tried: list[Limited], policy: Policy) -> Iterator[dict[str, Any]]:
    """A row for each limit that was tried."""
    tier = regional(policy.steps)
    what = {"split": "limit", "over": "changed", "plan": tier and asdict(tier)}
    for limit in tried:
        yield {**limit.row(), **what}
