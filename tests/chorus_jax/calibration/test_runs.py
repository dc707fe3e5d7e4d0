"""No run is repeated: not for another limit of regions, nor where reuse is clear."""

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from chorus_jax.calibration.losses import LossLimits
from chorus_jax.calibration.plan_table import BLOCK, PlanTable, plans
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.calibration.runs import PolicyRuns
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.region import Region
from chorus_jax.engine import Ledger
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.request import Request

STEPS = 50
REQUEST = Request("a cat", seed=0)
LIMITS = LossLimits({"right": 0.03})


@dataclass(frozen=True)
class Target:
    """A target whose video differs from its source's by a tenth of its number."""

    number: int
    score: float
    request: Request = REQUEST
    namespace: str = "default"
    source: str = "a"


class Runs(PolicyRuns[Target]):
    """Runs that lose the targets whose number is above that of the plan, and note what
    was run."""

    def __init__(self, targets, above=lambda plan: math.inf):
        super().__init__(targets, LIMITS)
        self.above, self.asked = above, []
        ledger = Ledger("miss", STEPS, 50.0)
        for number in (target.number for target in targets):
            self.full[number] = TargetRecord(number, ledger, {"right": 1.0})

    def arm(self, policy):
        def plan(target):
            [tier] = policy.tiers
            region = Region((1, 1, 1), 1, limit=policy.regions.limit)
            return StepPlan.staged(STEPS, tier.reuse_until, tier.region_until, region)

        return SimpleNamespace(policy=policy, plan=plan)

    def made(self, arm, target):
        plan = arm.plan(target)
        self.asked.append((plan, target.number))
        beyond = target.number / 10 if plan.region else None
        right = float(target.number <= self.above(plan))
        ledger = Ledger("semantic", STEPS, float(STEPS - plan.stretches[0].first))
        return TargetRecord(target.number, ledger, {"right": right}, beyond)


@pytest.mark.parametrize(
    ("limit", "again"), [(0.9, 0), (0.4, 0), (0.35, 1), (0.1, 3), (0.0, 4)]
)
def test_another_limit_runs_only_what_it_decides_otherwise(limit, again):
    """Numbers 1 to 4 differ by 0.1 to 0.4."""
    runs = Runs([Target(number, 0.9) for number in (1, 2, 3, 4)])
    policy = Policy(STEPS, (Tier(0.5, 10, 40, 0.5),))
    limited = lambda x: replace(policy, regions=replace(policy.regions, limit=x))
    runs.records(limited(0.6), runs.targets)
    before = len(runs.asked)
    runs.records(limited(limit), runs.targets)
    assert (before, len(runs.asked) - before) == (4, again)
    runs.records(limited(limit), runs.targets)
    runs.records(limited(0.6), runs.targets)
    assert len(runs.asked) - before == again


def test_a_plan_is_not_run_where_the_second_one_with_more_reuse_is_clear():
    """Each plan loses every target from the place on where it begins to."""
    falling = [*plans(STEPS)][::-1]
    places = [2 * BLOCK * (1 + n) for n in range(len(falling))]
    starts = {tier.reuse_until: place for tier, place in zip(falling, places)}
    count = 16 * BLOCK
    targets = [Target(n, 1.0 - n / 1000) for n in range(count)]
    runs = Runs(targets, lambda plan: starts[plan.stretches[0].first] - 1)
    columns = PlanTable.measured(runs, default_policy(STEPS)).columns
    first = [column.first for column in columns[::-1]]
    assert first[:2] == [0, 0]
    assert first[2:4] == places[:2]
    for column in columns:
        place = starts[column.tier.reuse_until]
        assert place < column.targets < count
        assert column.lost[column.first, 0] == column.cost[column.first] == 0
        assert column.lost[-1, 0] == column.targets - place
    assert len(runs.asked) == len({*runs.asked})
