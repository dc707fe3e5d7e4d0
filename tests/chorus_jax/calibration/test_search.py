"""The search of a calibration: where it ends, what it tried, and in which order."""

from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.calibration import search as calibrate_search
from chorus_jax.calibration.losses import Loss, LossLimits
from chorus_jax.calibration.moves import Moves
from chorus_jax.calibration.search import MORE, NOTHING, Search, Trial
from chorus_jax.calibration.verdict import Verdict
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.inter_request.policy.policy import Tier
from chorus_jax.intra_request import EveryStep
from chorus_jax.intra_request.fitting import reuses_velocities
from chorus_jax.intra_request.sea import SeaCache

SCORES = tuple(np.linspace(0.5, 0.99, 40).tolist())
MOVES = Moves(50, SCORES)
LIMITS = LossLimits({"accuracy_reliable": 0.01})
START = MOVES.spread(default_policy(50))


def losing(accuracy=0.0, equivalents=10.0, each=None, given_up=False):
    lost = {"accuracy_reliable": Loss(accuracy, 0.0)}
    return Verdict(equivalents, [lost], each or {}, given_up=given_up, limits=LIMITS)


def cost(policy):
    """Full steps' worth, each score as often as any other."""

    def one(tier):
        if tier is None:
            return policy.steps
        regional = max(tier.region_until - tier.reuse_until - 1, 0)
        whole = policy.steps - tier.reuse_until - regional
        return whole + tier.active * regional

    return float(np.mean([one(policy.plan(score)) for score in SCORES]))


def toy(policy, may_give_up):
    """Worse the more is reused, and the worse the match is."""
    harm = 0.0
    for score in SCORES:
        tier = policy.plan(score)
        if tier is not None:
            harm += max(0.0, tier.reuse_until - 40 * score) / 100
            harm += max(0.0, 0.3 - tier.active)
    return losing(harm / len(SCORES), cost(policy), {0: 0.0, 1: 0.0})


def few_things():
    """The coordinates that the toy knows of."""
    known = ("reuse_until", "region_until", "active")
    return {name: MOVES.coordinates()[name] for name in known}


def test_without_velocities_only_caches_of_residuals_are_tried():
    """Those that a solver which adds noise can run."""
    caches = replace(MOVES, velocities=False).caches
    assert len(caches) > 2 and caches[0] == EveryStep()
    assert not any(map(reuses_velocities, caches))
    assert set(caches) < set(MOVES.caches)


def test_the_search_ends_where_no_allowed_neighbour_computes_less():
    search = Search(few_things(), cost, toy, 1e9)
    best = search.run(START)[-1]
    assert toy(best, False).excess == 0 and cost(best) < cost(START)
    for neighbours in few_things().values():
        for candidate in neighbours(best):
            assert not toy(candidate, False).better(search.verdict)


def test_all_that_the_search_accepted_is_allowed():
    greedy = replace(START, tiers=(Tier(0.5, 45, 45),))
    found = Search(few_things(), cost, toy, 1e9).run(greedy)
    assert found and all(toy(policy, False).excess == 0 for policy in found)
    costs = [cost(policy) for policy in found]
    assert costs == sorted(costs, reverse=True)


def test_every_policy_that_was_run_is_on_record():
    run = []
    measure = lambda policy, may_give_up: run.append(policy) or toy(policy, may_give_up)
    search = Search(few_things(), cost, measure, 1e9)
    accepted = search.run(START)
    assert [each.after for each in search.trials] == run[1:]
    best = START
    for each in search.trials:
        assert each.before == best and each.best == toy(best, False)
        assert each.after in set(few_things()[each.coordinate](best))
        best = each.after if each.taken else best
    assert [START, *(each.after for each in search.trials if each.taken)] == accepted


def test_what_would_compute_more_is_counted_once_and_not_run():
    """Only active shares, and a tier that has no region step."""
    tiers = (Tier(0.5, 20, 40, 0.5), Tier(0.8, 40, 40, 0.5))
    start = replace(START, tiers=tiers)
    active = {"active": MOVES.coordinates()["active"]}
    strict = lambda policy, _: losing(0.5 * (policy != start), cost(policy), {0: 0.0})
    search = Search(active, cost, strict, 1e9)
    assert search.run(start) == [start]
    # Lower shares of all tiers, or of the first, compute alike, and so do higher ones.
    assert [each.after.tiers[0].active for each in search.trials] == [0.375]
    assert search.passed == {("active", MORE): 1, ("active", NOTHING): 2}


@pytest.mark.parametrize(
    "best, found, taken, why",
    [
        (losing(0.1), losing(0.05), True, "loses less"),
        (losing(equivalents=9.0), losing(equivalents=8.0), True, "computes less"),
        (losing(), losing(), True, "better"),
        (losing(), losing(0.1), False, "loses too much"),
        (losing(0.1), losing(0.2), False, "loses too much"),
        (losing(), losing(0.1, given_up=True), False, "given up"),
        (losing(), losing(), False, "no better"),
    ],
)
def test_a_trial_says_why(best, found, taken, why):
    assert Trial("reach", START, START, best, found, taken).why == why


@pytest.fixture
def clock(monkeypatch):
    """A measure that takes a minute a policy."""
    now = [0.0]
    monkeypatch.setattr(calibrate_search.time, "monotonic", lambda: now[0])

    def measure(policy, may_give_up):
        now[0] += 60
        return toy(policy, may_give_up)

    return measure


def test_a_search_without_time_has_its_start_and_says_that_nothing_was_tried(clock):
    search = Search(MOVES.coordinates(), cost, clock, 0.0)
    assert search.run(START) == [START]
    assert search.untried == tuple(MOVES.coordinates())
    assert not search.trials and not search.rounds


def test_what_a_first_round_had_no_time_for_is_known(clock):
    search = Search(few_things(), cost, clock, 60.0)
    search.run(START)
    assert [each.coordinate for each in search.trials] == ["reuse_until"]
    assert search.trials[0].taken and search.untried == ("region_until", "active")
    strict = lambda policy, _: replace(clock(policy, _), equivalents=50.0)
    stuck = Search(few_things(), lambda policy: 0.0, strict, 60.0)
    stuck.run(START)
    assert not stuck.trials[0].taken and stuck.untried == tuple(few_things())
    whole = Search(few_things(), cost, clock, 1e9)
    whole.run(START)
    assert whole.untried == () and whole.rounds > 1
    later = Search(few_things(), cost, clock, 60.0 * len(whole.trials) - 60)
    later.run(START)
    assert later.untried == () and later.rounds == whole.rounds - 1


def test_what_all_tiers_share_is_tried_within_a_few_policies(clock):
    """Thresholds alone can fall for longer."""
    search = Search(MOVES.coordinates(), lambda policy: 0.0, clock, 27.0 * 60)
    search.run(START)
    tried = [each.coordinate for each in search.trials]
    shared = {"found_by", "halo", "context", "reach", "key_gain", "output_gain"}
    assert {*shared, "cache", "least", "limit"} < set(tried)
    costly = {"cache", "least", "active", "reuse_until", "region_until"}
    assert max(map(tried.index, costly)) < min(map(tried.index, shared))
    assert search.untried == () and search.rounds == 1


def test_under_a_cache_that_decides_during_the_run_only_more_reuse_is_tried():
    """It computes a third of what is known before the run."""
    start = replace(START, tiers=(Tier(0.5, 20, 40, 0.5),), cache=SeaCache(0.1))
    tried = []

    def measure(policy, may_give_up):
        tried.append(policy)
        third = 3 if policy.cache == start.cache else 1
        return losing(0.5 * (policy != start), cost(policy) / third, {0: 0.0})

    assert Search({"active": MOVES.coordinates()["active"]}, cost, measure, 1e9).run(
        start
    ) == [start]
    assert [x.tiers[0].active for x in tried[1:]] == [0.375]
    # Another such cache may save more, whatever the tiers.
    other = replace(start, cache=SeaCache(0.25), tiers=(Tier(0.5, 10, 40, 0.5),))
    cheaper = Search({"all": lambda policy: iter([other])}, cost, measure, 1e9)
    assert cheaper.run(start) == [start] and tried[-1] == other
