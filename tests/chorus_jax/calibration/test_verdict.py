"""Verdicts on policies with several tiers, on made-up records."""

from dataclasses import replace

import pytest

from chorus_jax.calibration.losses import Loss, LossLimits
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.calibration.verdict import Verdict, verdict
from chorus_jax.engine import Ledger
from chorus_jax.inter_request.policy.policy import Tier

LIMITS = LossLimits({"right": 0.1})
# Equal stages: they differ in the active tokens alone.
NARROW, WIDE = Tier(0.5, 5, 40, active=0.5), Tier(0.8, 5, 40, active=0.75)


def records(losses, first=0):
    """Hits that lose these shares, of targets counted from `first`."""
    ledger = Ledger("semantic", 5, 20.0, reuse_until=5, region_until=40)
    pairs = enumerate(losses, first)
    return [TargetRecord(number, ledger, {"right": 1 - lost}) for number, lost in pairs]


def full(count):
    ledger = Ledger("miss", 0, 50.0)
    return {n: TargetRecord(n, ledger, {"right": 1.0}) for n in range(count)}


def test_tiers_with_equal_stages_are_judged_apart():
    hits = [*records([0.14] * 10), *records([0.04] * 10, 10)]
    tiers = dict.fromkeys(range(10), NARROW) | dict.fromkeys(range(10, 20), WIDE)
    found = verdict(hits, full(20), LIMITS, tiers)
    assert found.excess == pytest.approx(0.4)
    assert found.most_lost["right"].mean == pytest.approx(0.14)


def test_a_tier_with_one_hit_hides_no_other():
    """The error of a single hit is infinite, so that nothing speaks against it."""
    hits = [*records([1.0]), *records([0.5, 0.5, 0.5], 1)]
    tiers = {0: WIDE} | dict.fromkeys(range(1, 4), NARROW)
    found = verdict(hits, full(4), LIMITS, tiers)
    assert found.excess_within(1.0) == pytest.approx(4)
    assert not found.holds


def test_the_range_of_few_targets_is_wider():
    """The factors of Student's distribution with the level of two normal deviations."""
    exact = Loss(0.5, 0.1)
    assert exact.least(0.0) == 0.5
    assert exact.least(2.0) == pytest.approx(0.3)
    assert Loss(0.5, 0.1, 3.0).least(2.0) == pytest.approx(0.5 - 0.4527, abs=1e-3)
    assert Loss(0.5, 0.1, 80.0).least(2.0) == pytest.approx(0.5 - 0.2032, abs=1e-3)
    assert Loss(0.5, float("inf"), 1.0).least(2.0) == -float("inf")


@pytest.mark.parametrize(
    ("lost", "holds"),
    [
        ([], False),
        ([{"right": Loss(0.11, 0.02)}], True),
        ([{"right": Loss(0.13, 0.02)}], False),
        ([{"right": Loss(0.05, float("inf"))}], True),
        ([{"right": Loss(0.11, float("inf"))}], False),
        ([{"right": Loss(0.0, 0.0)}, {"right": Loss(0.2, 0.01)}], False),
    ],
)
def test_a_policy_holds_if_every_tier_does_and_there_are_hits(lost, holds):
    assert Verdict(20.0, lost, limits=LIMITS).holds == holds


def test_all_hits_together_may_not_lose_more_than_their_own_limit():
    tiers = [{"right": Loss(0.09, 0.03)}, {"right": Loss(0.03, 0.02)}]
    limits = replace(LIMITS, overall={"right": 0.05})
    within = Verdict(20.0, tiers, limits=limits, pooled={"right": Loss(0.045, 0.02)})
    assert within.excess == 0 and within.holds
    beyond = replace(within, pooled={"right": Loss(0.06, 0.02)})
    assert beyond.excess == pytest.approx(0.2) and not beyond.holds
    assert beyond.excess_within(1.0) == 0  # it may be chance


def test_the_loss_over_all_hits_is_of_figures_with_such_a_limit():
    def record(number, right, kind="semantic"):
        return TargetRecord(number, Ledger(kind, 10, 5.0), {"right": right})

    full = {n: record(n, 1.0, "miss") for n in range(4)}
    ours = [record(0, 0.0), record(1, 1.0), record(2, 1.0), full[3]]
    tiers = {0: Tier(0.9, 8, 8), 1: Tier(0.5, 5, 5), 2: Tier(0.5, 5, 5), 3: None}
    limits = replace(LIMITS, overall={"right": 0.05})
    assert verdict(ours, full, limits, tiers).pooled["right"].mean == pytest.approx(
        1 / 3
    )
    assert not verdict(ours, full, LIMITS, tiers).pooled
