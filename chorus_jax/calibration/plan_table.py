"""A table of plans: what each costs and loses on each of a calibration's targets.

The loss of a hit depends only on its target and its plan. So every plan of `PLANS` is
run once on the targets, best scores first, until its losses are clearly beyond the
limits. It is not run on the first targets as long as a plan with much more reuse
clearly loses little on these (see `columns`). The cost and losses of every way to
assign plans to ranges of scores can be computed from this table (see `start`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from tqdm import tqdm

from chorus_jax.calibration.losses import LossLimits
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.calibration.runs import HOPELESS, PolicyRuns
from chorus_jax.calibration.target import RunTarget
from chorus_jax.calibration.tiers import tier_at
from chorus_jax.calibration.time_limit import TimeOverError
from chorus_jax.inter_request.policy.policy import Policy, Tier

# `reuse_until` and `region_until` as shares of the steps, and the active share of the
# tokens. The first plan has no region: with few steps, a region may lose more than
# reusing a step does. Most others run half of the tokens and begin ever later, as the
# best points of the measured curve do (benchmarks/reuse).
PLANS = (
    *((0.2, 0.2, 1.0), (0.2, 0.9, 0.5), (0.3, 0.9, 0.5), (0.4, 0.9, 0.5)),
    *((0.5, 0.9, 0.5), (0.6, 0.9, 0.5), (0.8, 0.9, 0.25)),
)
BLOCK = 10  # targets between two checks of a plan's losses
CLEAR = 0.25  # the share of its limits within which a plan's losses are clearly allowed


@dataclass(frozen=True)
class Column:
    """The cost and losses of a tier: entry n is the sum over the first n targets.

    Targets on which the tier was not run count as zeros.

    Attributes:
        tier: the tier.
        cost: the cost in full steps' worth.
        lost: the loss of each figure; the mean loss is `lost` divided by `of`.
        of: the number of targets that have the figure; for relative losses, the sum of
            the full runs' values.
        first: the first target that the tier was run on.
    """

    tier: Tier
    cost: Float[np.ndarray, " n"]
    lost: Float[np.ndarray, "n figures"]
    of: Float[np.ndarray, "n figures"]
    first: int = 0

    @property
    def targets(self) -> int:
        """The number of targets up to the last one that the tier was run on."""
        return len(self.cost) - 1

    def clear_until(self, limits: LossLimits) -> int:
        """The target up to which the mean losses are clearly allowed.

        Checked after every block of targets from `first` on.
        """
        most = CLEAR * np.array([*limits.allowed.values()]) + 1e-9
        ends = np.arange(self.first + BLOCK, self.targets + 1, BLOCK)
        lost, of = (x[ends] - x[self.first] for x in (self.lost, self.of))
        clear = (lost / np.maximum(of, 1e-9) <= most).all(axis=1)
        return self.first + BLOCK * int(clear.cumprod().sum())


@dataclass(frozen=True)
class PlanTable:
    """The columns of all plans that there was time for, over the same targets.

    Attributes:
        scores: the targets' scores, falling.
        columns: a column per plan, by rising reuse; it may end before the targets do.
        limits: the most that hits may lose, which the columns' figures are named by.
    """

    scores: tuple[float, ...]
    columns: tuple[Column, ...]
    limits: LossLimits

    @classmethod
    def measured(cls, runs: PolicyRuns[Any], policy: Policy) -> "PlanTable":
        """Runs all plans, as tiers of a policy, on the targets that have a source."""
        # Thresholds are never negative, so negative scores are misses.
        scored = [(x.score, x) for x in runs.targets if x.score is not None]
        scored = [pair for pair in scored if pair[0] >= 0]
        scored.sort(key=lambda pair: -pair[0])
        ranked = [pair[1] for pair in scored]
        scores = tuple(pair[0] for pair in scored)
        return cls(scores, tuple(columns(runs, ranked, policy)), runs.limits)


def plans(steps: int) -> Iterator[Tier]:
    """The distinct plans of `PLANS` for this number of steps, as tiers."""
    yield from dict.fromkeys(tier_at(steps, *shares) for shares in PLANS)


def columns(
    runs: PolicyRuns, ranked: Sequence[RunTarget], policy: Policy
) -> list[Column]:
    """Runs all plans on the targets, as far as there is time; returns their columns.

    Plans with more reuse are run first, as they are cheaper. A plan is not run on the
    first targets on which the second plan before it clearly loses little. (If it was
    the plan right before it, all plans between two chosen ones would have to be chosen
    too.)
    """
    made, clear = list[Column](), [0, 0]
    falling = [*plans(policy.steps)][::-1]
    for tier in tqdm(falling, "plans", unit="plan", disable=None):
        try:
            made.append(column(runs, ranked, policy, tier, clear[-2]))
        except TimeOverError:
            break
        clear.append(made[-1].clear_until(runs.limits))
    return made[::-1]


def column(
    runs: PolicyRuns[Any],
    ranked: Sequence[RunTarget],
    policy: Policy,
    tier: Tier,
    first: int = 0,
) -> Column:
    """Runs a tier on the targets from `first` on, best scores first, until its losses
    are clearly beyond the limits. Returns the costs and losses."""
    alone = replace(policy, tiers=(tier,))
    records: list[TargetRecord] = []
    for begin in range(first, len(ranked), BLOCK):
        records += runs.records(alone, ranked[begin : begin + BLOCK])
        if runs.verdict(alone, records).excess_within(HOPELESS) > 0:
            break
    cost = np.zeros(1 + first + len(records))
    cost[1 + first :] = [record.ledger.equivalents for record in records]
    sums = np.zeros((len(cost), 2, len(runs.limits.allowed)))
    for place, record in enumerate(records, 1 + first):
        sums[place] = _parts(record, runs.full[record.number], runs.limits)
    sums = sums.cumsum(axis=0)
    return Column(tier, cost.cumsum(), sums[:, 0], sums[:, 1], first)


def _parts(
    ours: TargetRecord, full: TargetRecord, limits: LossLimits
) -> list[list[float]]:
    """The terms that one target adds to `Column.lost` and `Column.of`, per figure."""
    lost, of = [], []
    for name in limits.allowed:
        there = name in ours.scores
        before = full.scores[name] if there else 0.0
        lost.append(before - ours.scores[name] if there else 0.0)
        of.append(before if name in limits.relative else float(there))
    return [lost, of]
