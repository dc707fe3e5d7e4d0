"""The start of a search: the best tiers of a table equal those of an enumeration."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.calibration.losses import LossLimits
from chorus_jax.calibration.moves import Moves, threshold
from chorus_jax.calibration.plan_table import Column, plans
from chorus_jax.calibration.start import best, cuts
from chorus_jax.inter_request.policy.policy import Policy, Tier

STEPS, COUNT = 50, 30
ALLOWED = {"accuracy": 0.01, "changed": 0.03, "detail": 0.02}
LIMITS = LossLimits(ALLOWED)
RNG = np.random.default_rng(0)
SCORES = sorted(RNG.random(COUNT).round(4).tolist(), reverse=True)
TIERS = (Tier(0.0, 5, 5), Tier(0.0, 10, 40, 0.5), Tier(0.0, 20, 45, 0.25))


def column(tier, cost, lost, targets=COUNT, first=0):
    """A tier that costs the same of every target."""
    of = np.cumsum(np.ones((targets, len(ALLOWED))), axis=0)
    lost = np.outer(lost[:targets], np.ones(len(ALLOWED))).cumsum(axis=0)
    none = np.zeros((1, len(ALLOWED)))
    lost, of = np.concatenate([none, lost]), np.concatenate([none, of])
    return Column(tier, cost * np.arange(targets + 1.0), lost, of, first)


def table():
    """Losses grow as scores fall, sooner for what reuses more."""
    late = np.arange(COUNT) / COUNT
    rates = (0.004, 0.02, 0.08)
    lost = [rate * late**2 + 0.002 * RNG.normal(size=COUNT) for rate in rates]
    costs = (45, 22, 10)
    return [column(*each) for each in zip(TIERS, costs, lost, strict=True)]


def cost(found, columns):
    """What tiers compute, from the table's definition; infinite if they lose more."""
    policy = Policy(STEPS, found)
    total, lost = 0.0, {}
    for place, score in enumerate(SCORES):
        tier = policy.plan(score)
        if tier is None:
            total += STEPS
            continue
        ends = (tier.reuse_until, tier.region_until)
        [of] = [x for x in columns if (x.tier.reuse_until, x.tier.region_until) == ends]
        total += of.cost[place + 1] - of.cost[place]
        lost.setdefault(ends, []).append(of.lost[place + 1, 0] - of.lost[place, 0])
    most = max(map(np.mean, lost.values()), default=0.0)
    return total if most <= min(ALLOWED.values()) else np.inf


def test_the_best_tiers_are_those_that_trying_all_finds():
    columns = table()
    found = best(columns, SCORES, STEPS, LIMITS)
    least = [threshold(SCORES[end - 1]) for end in cuts(SCORES)]
    tried = [STEPS * COUNT]
    for count in (1, 2, 3):
        for chain in itertools.combinations(TIERS, count):
            for ends in itertools.combinations(sorted(least), count):
                tiers = [
                    Tier(end, x.reuse_until, x.region_until, x.active)
                    for x, end in zip(chain, ends, strict=True)
                ]
                tried.append(cost(tuple(tiers), columns))
    assert cost(found, columns) == pytest.approx(min(tried))
    assert min(tried) < 0.9 * STEPS * COUNT and len(found) > 1


def test_less_may_be_lost_for_more_work():
    columns = table()
    costs = [
        cost(best(columns, SCORES, STEPS, LIMITS, x), columns) for x in (1.0, 0.5, 0.2)
    ]
    assert costs == sorted(costs) and costs[0] < costs[-1]


def test_all_tiers_together_may_not_lose_more_than_their_own_limit():
    lost = [0.0] * 20 + [0.03] * 10
    plan = column(TIERS[0], 1.0, lost)
    tiers = LossLimits(dict.fromkeys(ALLOWED, 0.03))
    together = replace(tiers, overall={"accuracy": 0.005})
    served = [
        sum(score >= tier.least for score in SCORES)
        for limits in (tiers, together)
        for tier in best([plan], SCORES, STEPS, limits)[:1]
    ]
    assert served[0] == COUNT and 20 <= served[1] < COUNT


def test_nothing_may_be_lost_at_a_share_of_zero():
    """Figures without a limit over all tiers have none at any share."""
    careful = column(TIERS[0], 1.0, [0.0] * COUNT)
    losing = column(TIERS[1], 0.5, [0.001] * COUNT)
    [tier] = best([careful, losing], SCORES, STEPS, LIMITS, 0.0)
    assert tier.reuse_until == TIERS[0].reuse_until


def test_nothing_is_reused_where_everything_loses_too_much():
    assert best([column(TIERS[0], 1.0, [0.5] * COUNT)], SCORES, STEPS, LIMITS) == ()


def test_a_plan_is_not_given_to_targets_that_it_was_not_run_on():
    short = column(TIERS[2], 10.0, [0.0] * COUNT, targets=12)
    [tier] = best([short], SCORES, STEPS, LIMITS)
    assert sum(score >= tier.least for score in SCORES) in range(8, 13)


def test_a_plan_is_not_given_to_first_targets_that_it_was_not_run_on():
    bold = column(TIERS[2], 10.0, [0.0] * COUNT, targets=12)
    rest = column(TIERS[1], 20.0, [0.0] * COUNT, first=10)
    low, high = best([rest, bold], SCORES, STEPS, LIMITS)
    assert (low.reuse_until, high.reuse_until) == (10, 20)
    assert sum(score >= high.least for score in SCORES) in range(10, 13)
    assert best([rest], SCORES, STEPS, LIMITS) == ()


def test_losses_are_clear_until_the_block_that_loses_more_than_a_quarter():
    lost = [0.0] * 10 + [0.002] * 10 + [0.05] * 10  # of 0.01
    assert column(TIERS[0], 1.0, lost).clear_until(LIMITS) == 20
    assert column(TIERS[0], 1.0, lost, first=10).clear_until(LIMITS) == 20
    assert column(TIERS[0], 1.0, lost, first=20).clear_until(LIMITS) == 20
    assert column(TIERS[0], 1.0, lost, targets=9).clear_until(LIMITS) == 0


def test_equal_scores_are_not_parted():
    scores = [0.9] * 8 + [0.8] * 8
    assert cuts(scores) == [8, 16]
    assert cuts([0.5004, 0.5003, 0.5002, 0.5001] * 3) == [12]


@pytest.mark.parametrize("steps, count", [(50, 7), (10, 7), (4, 4)])
def test_plans_are_of_the_grid_and_differ(steps, count):
    moves = Moves(steps, (0.5,))
    found = [*plans(steps)]
    assert len(found) == len(set(found)) == count
    for tier in found:
        assert {tier.reuse_until, tier.region_until} <= {*moves.stage_ends}
        assert tier.active == 1 or tier.region_until > tier.reuse_until + 1
        assert tier.key_gain == tier.output_gain == 1
