"""Runs policies on targets, and keeps the records so that no run is repeated."""

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from chorus_jax.calibration.losses import LossLimits
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.calibration.target import RunTarget, tier_of, unlimited, way
from chorus_jax.calibration.verdict import Verdict, verdict
from chorus_jax.inter_request.policy.policy import Policy

LOOKS = 4  # parts of the targets; after each one a hopeless policy can be given up
HOPELESS = 2.0  # standard errors by which a hopeless policy exceeds the limits

T = TypeVar("T", bound=RunTarget)


@dataclass(frozen=True)
class LimitedRun:
    """A run whose region has a limit (see `Region.limit`).

    Attributes:
        limit: the limit; infinite without a region.
        record: the record of the run.
    """

    limit: float
    record: TargetRecord

    def is_alike(self, limit: float) -> bool:
        """Whether the run would be the same with another limit: with both it runs the
        region, or with both all tokens."""
        beyond = self.record.beyond
        if beyond is None:
            return limit == self.limit
        return (beyond > limit) == (beyond > self.limit)


@dataclass
class PolicyRuns(ABC, Generic[T]):
    """Runs and records of policies on some targets.

    Attributes:
        targets: the targets that policies are run on.
        limits: the most that a policy may lose.
        full: the records of full runs, by the target's number.
        known: the runs of hits, by the target's number and `way` without limits.
    """

    targets: Sequence[T]
    limits: LossLimits
    full: dict[int, TargetRecord] = field(default_factory=dict)
    known: dict[Hashable, list[LimitedRun]] = field(default_factory=dict)

    @abstractmethod
    def arm(self, policy: Policy) -> Any:
        """The arm that makes videos with a policy (see `target.PolicyArm`)."""

    @abstractmethod
    def made(self, arm: Any, target: T) -> TargetRecord:
        """Runs a target that hits, and judges its video."""

    def cost(self, policy: Policy) -> float:
        """The least mean cost per target in full steps' worth, known without a run.

        A run costs more if videos differ beyond its region, since all tokens run then.
        """
        arm = self.arm(policy)
        return sum(map(arm.equivalents, self.targets)) / len(self.targets)

    def measure(self, policy: Policy, may_give_up: bool = False) -> Verdict:
        """Runs a policy on all targets, or fewer if given up; returns the verdict."""
        part = -(-len(self.targets) // LOOKS) if may_give_up else len(self.targets)
        records: list[TargetRecord] = []
        result = Verdict(float(policy.steps), limits=self.limits)
        for first in range(0, len(self.targets), part):
            records += self.records(policy, self.targets[first : first + part])
            result = self.verdict(policy, records)
            if result.excess_within(HOPELESS) > 0:
                return replace(result, given_up=len(records) < len(self.targets))
        return result

    def verdict(self, policy: Policy, records: Sequence[TargetRecord]) -> Verdict:
        """The verdict on a policy's records of some of the targets."""
        tiers = {target.number: tier_of(target, policy) for target in self.targets}
        return verdict(records, self.full, self.limits, tiers)

    def records(self, policy: Policy, targets: Sequence[T]) -> list[TargetRecord]:
        """The records of a policy on these targets; runs those that are missing."""
        arm = self.arm(policy)
        bar = tqdm(targets, "targets", unit="video", leave=False, disable=None)
        return [self.record(arm, target) for target in bar]

    def record(self, arm: Any, target: T) -> TargetRecord:
        """The record of one target; for a miss, the record of its full run."""
        if tier_of(target, arm.policy) is None:
            return self.full[target.number]
        plan = arm.plan(target)
        limit = plan.region.limit if plan.region else math.inf
        key = (target.number, *way(arm.policy, unlimited(plan), target))
        runs = self.known.setdefault(key, [])
        alike = next((run for run in runs if run.is_alike(limit)), None)
        if alike is None:
            alike = LimitedRun(limit, self.made(arm, target))
            runs.append(alike)
        return alike.record
