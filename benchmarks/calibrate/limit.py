"""The greatest difference beyond a region at which only the region is run.

A limit cannot be searched for like the rest: while it is too high, low scores lose too
much, so thresholds rise until few videos differ at all; from there a lower limit only
computes more. So it is found first. One regional plan is run, with one limit after the
other, on the targets that differ from their source, whatever their score. What it loses
is taken against the same stages with all tokens run, not against full runs: that is
the region's share. The highest limit at which this is allowed is the one.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.calibrate.runs import SceneRuns
from benchmarks.reuse.losses import LIMITS as LOSS_LIMITS
from chorus_jax.calibration.moves import LIMITS, Moves
from chorus_jax.calibration.start import plans
from chorus_jax.calibration.tiers import with_tiers
from chorus_jax.calibration.verdict import Verdict, verdict
from chorus_jax.inter_request.policy.policy import Policy, Tier


@dataclass(frozen=True)
class Limited:
    """The loss of a plan with a limit, compared with all tokens run.

    Attributes:
        limit: the disagreement beyond the region above which all tokens are run.
        verdict: the loss, and what was computed.
    """

    limit: float
    verdict: Verdict

    def row(self) -> dict[str, Any]:
        """The row of the measurement."""
        lost = {f"{name}_loss": loss.mean for name, loss in self.verdict.lost.items()}
        what = {"limit": self.limit, "targets": self.verdict.targets}
        computed = {
            "equivalents": self.verdict.equivalents,
            "excess": self.verdict.excess,
        }
        return {"row": "limit", **what, **computed, **lost}


def limits(runs: SceneRuns, moves: Moves, policy: Policy) -> list[Limited]:
    """From the highest limit on down to the first that is allowed, or to the lowest;
    none if no step of so few is regional, or nothing differs from its source."""
    tier = regional(policy.steps)
    if tier is None:
        return []
    alone = replace(moves.keeping(policy), tiers=(tier,))
    differing = [x for x in runs.targets if x.changed and x.tier(alone)]
    if not differing:
        return []
    all_tokens = runs.records(with_tiers(alone, active=1.0), differing)
    full, tried = {record.number: record for record in all_tokens}, list[Limited]()
    for limit in sorted(LIMITS, reverse=True):
        regions = replace(alone.regions, limit=limit)
        ours = runs.records(replace(alone, regions=regions), differing)
        tried.append(Limited(limit, verdict(ours, full, LOSS_LIMITS)))
        if tried[-1].verdict.excess == 0:
            break
    return tried


def regional(steps: int) -> Tier | None:
    """The plan that takes over least of those that run fewest tokens, so that little
    but the region is to blame for what is lost; None if none has a region."""
    tiers = [tier for tier in plans(steps) if tier.active < 1]
    return min(tiers, key=lambda x: (x.reuse_until, x.active), default=None)


def limited(policy: Policy, tried: list[Limited]) -> Policy:
    """The policy with the last of these limits, or its own if there are none."""
    if not tried:
        return policy
    return replace(policy, regions=replace(policy.regions, limit=tried[-1].limit))


def rows_of(tried: list[Limited], policy: Policy) -> Iterator[dict[str, Any]]:
    """A row for each limit that was tried."""
    tier = regional(policy.steps)
    what = {"split": "limit", "over": "changed", "plan": tier and asdict(tier)}
    for limit in tried:
        yield {**limit.row(), **what}
