"""The start of a search: the best tiers according to a table of measured plans.

Up to `MOST` plans are assigned to ranges of scores, with more reuse for better scores.
The search begins with the cheapest way to do so whose tiers are each within the limits.
Since the best of so many ways is partly luck, cheap ways under stricter limits
(`STRICT`) are returned too.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from chorus_jax.calibration.losses import LossLimits
from chorus_jax.calibration.moves import FEWEST, Moves, threshold
from chorus_jax.calibration.plan_table import Column, PlanTable
from chorus_jax.inter_request.policy.policy import Policy, Tier

MOST = 3
PLACES = 20  # the most thresholds
STRICT = (0.0, 0.5, 1.0)  # the shares of the limits, each of which gives a start


@dataclass(frozen=True)
class Way:
    """One way to assign tiers to ranges of scores.

    Attributes:
        cost: the cost of all targets in full steps' worth.
        tiers: the tiers by rising threshold.
    """

    cost: float
    tiers: tuple[Tier, ...] = ()


def starts(
    table: PlanTable,
    moves: Moves,
    policy: Policy,
    shares: Sequence[float] = STRICT,
) -> list[Policy]:
    """Policies to start a search from: stricter ones first, the cheapest one last.

    Args:
        table: the measured plans.
        moves: makes the cautious tiers that are the only start if all plans lose too
            much.
        policy: gives everything but the tiers.
        shares: rising shares of the limits; each gives the cheapest tiers that lose no
            more.
    """
    chains = [
        best(table.columns, table.scores, policy.steps, table.limits, share)
        for share in shares
    ]
    places = dict.fromkeys(tiers for tiers in chains if tiers)
    return [replace(policy, tiers=x) for x in places] or [moves.cautious(policy)]


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
    begins = np.concatenate([np.zeros((len(ends), 1), int), ends[:, :-1]], axis=1)
    was_run = ends <= np.array([column.targets for column in chain])
    was_run &= begins >= np.array([column.first for column in chain])
    ends, begins = (x[was_run.all(axis=1)] for x in (ends, begins))

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
