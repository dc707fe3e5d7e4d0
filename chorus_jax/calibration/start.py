"""The start of a search: the best tiers according to a table of measured plans.

The loss of a hit depends only on its target and its plan. So every plan of `PLANS` is
run once on the targets, best scores first, until its losses are clearly beyond the
limits. The cost and losses of every way to assign up to `MOST` plans to ranges of
scores, with more reuse for better scores, can be computed from this table. The search
begins with the cheapest way whose tiers are each within the limits. Since the best of
so many ways is partly luck, cheap ways under stricter limits (`STRICT`) are returned
too.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from tqdm import tqdm

from chorus_jax.calibration.losses import LossLimits
from chorus_jax.calibration.moves import FEWEST, Moves, threshold
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
MOST = 3
BLOCK = 10  # targets between two checks of a plan's losses
PLACES = 20  # the most thresholds
STRICT = (0.0, 0.5, 1.0)  # the shares of the limits, each of which gives a start


@dataclass(frozen=True)
class Column:
    """The cost and losses of a tier: entry n is the sum over the first n targets.

    Attributes:
        tier: the tier.
        cost: the cost in full steps' worth.
        lost: the loss of each figure; the mean loss is `lost` divided by `of`.
        of: the number of targets that have the figure; for relative losses, the sum of
            the full runs' values.
    """

    tier: Tier
    cost: Float[np.ndarray, " n"]
    lost: Float[np.ndarray, "n figures"]
    of: Float[np.ndarray, "n figures"]

    @property
    def targets(self) -> int:
        """The number of targets that the tier was run on."""
        return len(self.cost) - 1


@dataclass(frozen=True)
class Way:
    """One way to assign tiers to ranges of scores.

    Attributes:
        cost: the cost of all targets in full steps' worth.
        tiers: the tiers by rising threshold.
    """

    cost: float
    tiers: tuple[Tier, ...] = ()


def starts(runs: PolicyRuns, moves: Moves, policy: Policy) -> list[Policy]:
    """Policies to start a search from: stricter ones first, the cheapest one last.

    If all plans lose too much, the only start has cautious tiers.
    """
    # Thresholds are never negative, so negative scores are misses.
    scored = [(x.score, x) for x in runs.targets if x.score is not None]
    scored = [pair for pair in scored if pair[0] >= 0]
    scored.sort(key=lambda pair: -pair[0])
    scores, ranked = [pair[0] for pair in scored], [pair[1] for pair in scored]
    table = columns(runs, ranked, policy)
    chains = [best(table, scores, policy.steps, runs.limits, share) for share in STRICT]
    places = dict.fromkeys(tiers for tiers in chains if tiers)
    return [replace(policy, tiers=x) for x in places] or [moves.cautious(policy)]


def plans(steps: int) -> Iterator[Tier]:
    """The distinct plans of `PLANS` for this number of steps, as tiers."""
    yield from dict.fromkeys(tier_at(steps, *shares) for shares in PLANS)


def columns(
    runs: PolicyRuns, ranked: Sequence[RunTarget], policy: Policy
) -> list[Column]:
    """Runs all plans on the targets, as far as there is time; returns their columns."""
    made = list[Column]()
    for tier in tqdm([*plans(policy.steps)], "plans", unit="plan", disable=None):
        try:
            made.append(column(runs, ranked, policy, tier))
        except TimeOverError:
            break
    return made


def column(
    runs: PolicyRuns, ranked: Sequence[RunTarget], policy: Policy, tier: Tier
) -> Column:
    """Runs a tier on the targets, best scores first, until its losses are clearly
    beyond the limits. Returns the costs and losses."""
    alone = replace(policy, tiers=(tier,))
    records: list[TargetRecord] = []
    for first in range(0, len(ranked), BLOCK):
        records += runs.records(alone, ranked[first : first + BLOCK])
        if runs.verdict(alone, records).excess_within(HOPELESS) > 0:
            break
    cost = [record.ledger.equivalents for record in records]
    parts = np.array(
        [_parts(record, runs.full[record.number], runs.limits) for record in records]
    )
    summed = np.concatenate([np.zeros((1, *parts.shape[1:])), parts.cumsum(axis=0)])
    return Column(tier, np.cumsum([0.0, *cost]), summed[:, 0], summed[:, 1])


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


def best(
    table: Sequence[Column],
    scores: Sequence[float],
    steps: int,
    limits: LossLimits,
    share: float = 1.0,
) -> tuple[Tier, ...]:
    """The cheapest tiers that lose no more than a share of the limits.

    Args:
        table: one column per plan, by rising reuse.
        scores: the targets' scores, falling.
        steps: the number of steps of a full run.
        limits: the most that each tier, and all tiers together, may lose.
        share: the share of the limits that may be lost.

    Returns:
        The tiers by rising threshold; empty if no plan is within the limits.
    """
    places, cheapest = cuts(scores), Way(float(steps * len(scores)))
    scaled = lambda limit: share * limit + 1e-9  # sums are not exact
    overall = {name: scaled(limit) for name, limit in limits.overall.items()}
    most = np.array(
        [
            [scaled(limit) for limit in limits.allowed.values()],
            [overall.get(name, np.inf) for name in limits.allowed],
        ]
    )
    for count in range(1, MOST + 1):
        ends = np.array([*itertools.combinations(places, count)], int)
        for chain in itertools.combinations(table, count):
            if len(ends) and _rises([x.tier for x in chain]):
                way = _cheapest(chain[::-1], ends, scores, steps, most)
                cheapest = way if way and way.cost < cheapest.cost else cheapest
    return cheapest.tiers


def cuts(scores: Sequence[float]) -> list[int]:
    """The possible thresholds, each as the number of targets that reach it.

    At least `FEWEST` targets lie between two thresholds, and all targets reach the
    lowest one.
    """
    step = max(FEWEST, -(-len(scores) // PLACES))
    counts, last = list[int](), 0
    for count in range(1, len(scores) + 1):
        after = scores[count] if count < len(scores) else -1.0
        if count - last >= step and after < threshold(scores[count - 1]):
            counts.append(count)
            last = count
    if counts:
        counts[-1] = len(scores)  # too few targets remain for another place
    return counts


def _rises(tiers: Sequence[Tier]) -> bool:
    """Whether reuse and regions end no earlier in each tier than in the one before."""
    return all(
        low.reuse_until <= high.reuse_until and low.region_until <= high.region_until
        for low, high in itertools.pairwise(tiers)
    )


def _cheapest(
    chain: Sequence[Column],
    ends: Int[np.ndarray, "ways tiers"],
    scores: Sequence[float],
    steps: int,
    most: Float[np.ndarray, "2 figures"],
) -> Way | None:
    """The cheapest way within the limits to divide the targets among these tiers.

    Args:
        chain: a column per tier, the highest tier first.
        ends: per way, the number of targets that reach each tier or a higher one.
        scores: the targets' scores, falling.
        steps: the number of steps of a full run.
        most: the limits of the mean losses of each tier, and of all tiers together, by
            figure.
    """
    known = np.array([column.targets for column in chain])
    ends = ends[(ends <= known).all(axis=1)]
    begins = np.concatenate([np.zeros((len(ends), 1), int), ends[:, :-1]], axis=1)

    def of_tiers(name: str) -> list[np.ndarray]:
        sums = [getattr(column, name) for column in chain]
        return [x[ends[:, i]] - x[begins[:, i]] for i, x in enumerate(sums)]

    if not len(ends):
        return None
    cost = sum(of_tiers("cost")) + steps * (len(scores) - ends[:, -1])
    losses, counts = of_tiers("lost"), of_tiers("of")
    groups = [(lost, of, most[0]) for lost, of in zip(losses, counts, strict=True)]
    for lost, of, limits in (*groups, (sum(losses), sum(counts), most[1])):
        within = (lost / np.maximum(of, 1e-9) <= limits).all(axis=1)
        cost = np.where(within, cost, np.inf)
    way = int(cost.argmin())
    if not np.isfinite(cost[way]):
        return None
    tiers = [
        replace(column.tier, least=threshold(scores[end - 1]))
        for column, end in zip(chain, ends[way].tolist(), strict=True)
    ]
    return Way(float(cost[way]), tuple(reversed(tiers)))
