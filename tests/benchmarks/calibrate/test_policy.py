"""Moves, verdicts and runs of a calibration, on made-up figures."""

from collections import Counter
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.calibrate import runs as calibrate_runs
from benchmarks.calibrate.calibration import parser
from benchmarks.calibrate.policy import SceneCalibration
from benchmarks.calibrate.runs import SceneRuns
from benchmarks.reuse.bench import Target
from benchmarks.reuse.losses import ALLOWED, LIMITS, OVERALL
from benchmarks.reuse.running import ArmRun
from benchmarks.reuse.scores import TargetRecord
from chorus_jax.calibration.losses import Loss
from chorus_jax.calibration.moves import CACHES, FEWEST, Moves, adjacent
from chorus_jax.calibration.plan_table import PlanTable
from chorus_jax.calibration.start import starts
from chorus_jax.calibration.tiers import decides
from chorus_jax.calibration.verdict import Verdict, verdict
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.region import Region
from chorus_jax.engine import Ledger
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.intra_request import EveryStep, SkipSteps
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.request import Request
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.examples import ScenePrompt

SCORES = tuple(np.linspace(0.5, 0.99, 40).tolist())
MOVES = Moves(50, SCORES)
START = MOVES.spread(default_policy(50))


def flat(policy):
    """A policy's fields, those of all tiers under one name."""
    told = asdict(policy)
    tiers = told.pop("tiers")
    regions = {f"regions.{k}": v for k, v in told.pop("regions").items()}
    names = tiers[0] if tiers else {}
    return {**told, **regions, **{k: [tier[k] for tier in tiers] for k in names}}


@pytest.mark.parametrize("name", MOVES.coordinates())
def test_a_move_changes_one_thing(name):
    found = list(MOVES.coordinates()[name](START))
    assert found
    for candidate in found:
        ours, theirs = flat(START), flat(candidate)
        changed = {key for key in ours if ours[key] != theirs[key]}
        # A tier that the move leaves with too few targets goes.
        if len(candidate.tiers) == len(START.tiers):
            assert [key.removeprefix("regions.") for key in changed] == [name]


def test_a_tier_is_added_below_that_takes_over_little():
    [added] = MOVES.coordinates()["tiers"](START)
    lowest = added.tiers[0]
    assert added.tiers[1:] == START.tiers and lowest.least < START.tiers[0].least
    assert (lowest.reuse_until, lowest.region_until) == (5, 5)
    assert not list(MOVES.coordinates()["tiers"](added))


def test_raised_policies_miss_what_scores_lowest_and_keep_the_rest():
    raised = list(MOVES.raised(START))
    assert len(raised) > len(START.tiers)
    reached = [[policy.plan(score) for score in SCORES] for policy in (START, *raised)]
    for before, after in zip(reached, reached[1:], strict=False):
        missed = sum(tier is None for tier in after)
        assert missed > sum(tier is None for tier in before)
        stages = lambda tier: tier and (tier.reuse_until, tier.region_until)
        assert [*map(stages, after[missed:])] == [*map(stages, before[missed:])]
    assert all(policy.tiers for policy in raised)


def test_gentler_policies_begin_earlier_down_to_the_first_step():
    policy = replace(START, tiers=(Tier(0.5, 10, 40, 0.5), Tier(0.7, 20, 40, 0.5)))
    begins = [[x.reuse_until for x in each.tiers] for each in MOVES.gentler(policy)]
    assert begins == [[5, 15], [5, 10], [5, 5]]
    assert list(MOVES.gentler(list(MOVES.gentler(policy))[-1])) == []


def test_a_policy_that_fails_on_fresh_targets_is_raised_until_it_holds(runs):
    found, _ = runs
    bold = Policy(50, (Tier(0.5, 5, 5), Tier(0.8, 25, 25)))
    low = Policy(50, (Tier(0.5, 5, 5),))
    fresh = SceneRuns(found.bench, found.targets, LIMITS)
    fresh.measure = lambda policy: Verdict(
        25.0,
        [{"detail": Loss(float(policy.tiers[0].least < 0.7), 0.0)}],
        limits=LIMITS,
    )
    moves = Moves(50, tuple(each.score for each in found.targets) * 5)
    whole = SceneCalibration(found, fresh, moves)
    chosen = whole.chosen([START], [low, bold])
    assert [tier.reuse_until for tier in chosen.tiers] == [5]
    assert chosen.tiers[0].least == min(x for x in moves.thresholds if x >= 0.7)


@settings(max_examples=10)
@given(st.data())
def test_whatever_is_moved_stays_a_policy_that_is_measured(data):
    policy = START
    for _ in range(4):
        name = data.draw(st.sampled_from(sorted(MOVES.coordinates())))
        found = list(MOVES.coordinates()[name](policy))
        if found:
            policy = data.draw(st.sampled_from(found))
    reached = Counter(policy.plan(score) for score in SCORES)
    assert all(reached[tier] >= FEWEST for tier in policy.tiers)
    assert {tier.region_until for tier in policy.tiers} <= set(MOVES.stage_ends)


def test_no_move_gives_reuse_up():
    scarce = replace(START.tiers[0], least=MOVES.thresholds[-3])
    found = MOVES.coordinates()["least"](replace(START, tiers=(scarce,)))
    assert {x.tiers[0].least for x in found} == {MOVES.thresholds[-4]}


@pytest.mark.parametrize("steps", [2, 4, 50])
def test_lists_of_skipped_steps_spare_both_ends(steps):
    caches = Moves(steps, SCORES).caches
    lists = [x.steps for x in caches[1:] if isinstance(x, SkipSteps)]
    assert caches[0] == EveryStep()
    assert [len(x) for x in lists] == sorted(map(len, lists))
    assert not any({0, steps - 1} & set(skipped) for skipped in lists)
    assert [*map(decides, caches[: len(lists) + 1])] == [False] * (len(lists) + 1)
    assert caches[len(lists) + 1 :] == CACHES


def test_the_start_parts_the_targets_evenly():
    reached = Counter(START.plan(score) for score in SCORES)
    assert len(START.tiers) == 4
    assert all(abs(reached[tier] - 8) <= 1 for tier in (*START.tiers, None))


def test_tiers_that_fall_together_are_the_most_careful_one():
    [tier] = Moves(50, (0.8,) * 10).spread(default_policy(50)).tiers
    assert (tier.least, tier.reuse_until) == (0.8, 5)


def test_neighbours_on_a_grid():
    assert adjacent((1, 2, 3), 2) == (1, 3)
    assert adjacent((1, 2, 3), 2.5) == (2, 3)
    assert adjacent((1, 2, 3), 1) == (None, 2) and adjacent((), 1) == (None, None)


def losing(accuracy=0.0, equivalents=10.0, each=None, error=0.0):
    lost = {"accuracy_reliable": Loss(accuracy, error)}
    return Verdict(equivalents, [lost], each or {}, limits=LIMITS)


def test_what_is_allowed_comes_first_and_then_what_is_computed():
    good, dear, bad, worse = (
        losing(),
        losing(equivalents=20.0),
        losing(0.05),
        losing(0.1),
    )
    assert good.excess == losing(ALLOWED["accuracy_reliable"]).excess == 0
    assert bad.excess == pytest.approx(2 / 3)
    order = (good, dear, replace(bad, equivalents=1.0), worse)
    for i, better in enumerate(order):
        assert [better.better(other) for other in order] == [j > i for j in range(4)]


def test_of_equals_the_new_one_must_be_better_by_more_than_chance():
    old = losing(each=dict.fromkeys(range(8), 1.0))
    sure = losing(each=dict.fromkeys(range(8), 0.5))
    lucky = losing(each={0: -3.0, 1: 4.0, **dict.fromkeys(range(2, 8), 1.0)})
    assert sure.better(old) and not old.better(sure)
    assert not lucky.better(old) and not old.better(old)
    assert not losing(each={9: -5.0}).better(old)  # of other targets


def test_a_loss_that_may_be_chance_is_within_it():
    unsure = losing(0.04, error=0.02)
    assert unsure.excess > 0 == unsure.excess_within(1.0)
    assert losing(0.06, error=0.02).excess_within(1.0) > 0


def record(number, kind="semantic", equivalents=5.0, **scores):
    return TargetRecord(number, Ledger(kind, 10, equivalents), scores)


def test_a_verdict_is_of_hits_and_its_cost_of_all():
    well = {"accuracy_reliable": 1.0, "detail": 0.8}
    full = {n: record(n, "miss", 10.0, **well) for n in range(3)}
    ours = [
        record(0, accuracy_reliable=1.0, detail=0.8),
        record(1, accuracy_reliable=0.0, detail=0.4),
        full[2],
    ]
    found = verdict(ours, full, LIMITS, dict.fromkeys(full, Tier(0.5, 5, 5)))
    assert found.equivalents == pytest.approx(20 / 3) and found.targets == 3
    assert found.most_lost["accuracy_reliable"].mean == 0.5
    assert found.most_lost["detail"].mean == pytest.approx(0.25)
    assert found.per_target == {0: 0.0, 1: pytest.approx(1 / 0.03 + 0.5 / 0.04)}


def test_hits_that_lose_nothing_do_not_make_up_for_a_tier_that_does():
    def hit(number, begin, right):
        ledger = Ledger("semantic", begin, 5.0, reuse_until=begin, region_until=begin)
        return TargetRecord(number, ledger, {"accuracy_reliable": right})

    full = {n: record(n, "miss", 10.0, accuracy_reliable=1.0) for n in range(200)}
    well = [hit(n, 5, 1.0) for n in range(190)]
    badly = [hit(n, 8, float(n != 190)) for n in range(190, 200)]
    low, high = Tier(0.5, 5, 5), Tier(0.9, 8, 8)
    tiers = dict.fromkeys(range(190), low) | dict.fromkeys(range(190, 200), high)
    found = verdict([*well, *badly], full, LIMITS, tiers)
    assert found.most_lost["accuracy_reliable"].mean == pytest.approx(0.1)
    assert found.excess > 0 == verdict(well, full, LIMITS, tiers).excess


@pytest.mark.parametrize("name, most", [*zip(OVERALL, (1, 1, 1, 2), strict=True)])
def test_all_hits_together_may_lose_as_much(name, most):
    def lost(number):
        scores = lambda n, right: record(n, **{name: float(right)})
        full = {n: scores(n, True) for n in range(100)}
        ours = [scores(n, n >= number) for n in range(100)]
        return verdict(ours, full, LIMITS, dict.fromkeys(full, Tier(0.5, 5, 5)))

    assert lost(most).excess == 0 < lost(most + 1).excess


def test_a_search_begins_where_little_is_taken_over_of_the_best_matches():
    scores = tuple(np.linspace(0.5, 0.99, 200).tolist())
    begun = Moves(50, scores).cautious(default_policy(50))
    ends = {(tier.reuse_until, tier.region_until) for tier in begun.tiers}
    assert ends == {(5, 5)} and len(begun.tiers) == 4
    hits = [score for score in scores if begun.plan(score)]
    assert 0.15 < len(hits) / len(scores) < 0.25


@pytest.fixture
def runs(monkeypatch):
    """Eight targets; runs are counted, and lose what the policy's K1 says."""
    asked, made = Attributes("red", "circle", "small", "left", "gray"), []

    class Arm:
        def __init__(self, bench, policy):
            self.policy = policy

        def equivalents(self, target):
            return 50.0 if target.tier(self.policy) is None else 25.0

        def plan(self, target):
            tier = target.tier(self.policy)
            steps = (tier.reuse_until, tier.region_until)
            return StepPlan.staged(50, *steps, Region((1, 1, 1), 1))

        def __call__(self, target):
            made.append(target.number)
            tier = target.tier(self.policy)
            if tier is None:
                return ArmRun(np.ones(1), Ledger("miss", 50, 50.0))
            right = tier.reuse_until < 20
            return ArmRun(np.full(1, right), Ledger("semantic", 50, 25.0))

    monkeypatch.setattr(calibrate_runs, "Reusing", Arm)
    names = "accuracy", "accuracy_colour"
    score = lambda target, run, full: dict.fromkeys(names, float(run.frames[0]))
    monkeypatch.setattr(calibrate_runs, "scored", score)
    prompt, request = ScenePrompt("a", (asked,)), Request("a", seed=0)
    targets = [Target(n, prompt, request, 32, "a", 0.6 + n / 20) for n in range(8)]
    found = SceneRuns(SimpleNamespace(full={}), targets, LIMITS)
    found.fill(50)
    made.clear()
    return found, made


def test_nothing_is_run_twice(runs):
    found, made = runs
    policy = Policy(50, (Tier(0.8, 5, 5), Tier(0.9, 10, 10)))
    first = found.measure(policy)
    assert made == [4, 5, 6, 7] and first.excess == 0
    assert first.equivalents == found.cost(policy) == 37.5
    # A threshold that falls runs what it adds, and what else is kept nothing.
    lower = replace(policy, tiers=(Tier(0.7, 5, 5), policy.tiers[1]))
    found.measure(lower)
    assert made == [4, 5, 6, 7, 2, 3]


def test_what_is_hopeless_is_given_up(runs):
    found, made = runs
    policy = Policy(50, (Tier(0.5, 25, 25),))
    hopeless = found.measure(policy, True)
    assert hopeless.excess > 0 and (hopeless.given_up, hopeless.targets) == (True, 2)
    assert made == [0, 1]
    whole = found.measure(policy, False)
    assert made == list(range(8)) and (whole.given_up, whole.targets) == (False, 8)


def test_a_gain_without_a_stage_2_runs_nothing_anew(runs):
    found, made = runs
    policy = Policy(50, (Tier(0.8, 5, 5),))
    found.measure(policy)
    gained = replace(policy.tiers[0], key_gain=2.0)
    found.measure(replace(policy, tiers=(gained,)))
    assert made == [4, 5, 6, 7]
    found.measure(replace(policy, tiers=(replace(gained, region_until=10),)))
    assert made == [4, 5, 6, 7] * 2


def test_a_policy_that_fails_on_fresh_targets_gives_way(runs):
    found, _ = runs
    careful, bold, bolder = (Policy(50, (Tier(0.5, k, k),)) for k in (5, 25, 40))
    whole = SceneCalibration(found, found, MOVES)
    assert whole.chosen([START], [careful, bold]) == careful
    assert whole.chosen([careful, START], [bold]) == careful
    assert whole.chosen([START], [bold]).tiers[0].reuse_until == 15
    with pytest.raises(ValueError, match="no policy held"):
        whole.chosen([START], [bolder])


def test_a_search_begins_with_the_best_plans_of_what_was_run(runs):
    found, made = runs
    scores = tuple(each.score for each in found.targets)
    table = PlanTable.measured(found, default_policy(50))
    begun = starts(table, Moves(50, scores), default_policy(50))
    hits = [score for score in scores if begun[-1].plan(score)]
    assert len(hits) == 8
    assert all(tier.reuse_until < 20 for tier in begun[-1].tiers)
    # Each plan ran once.
    assert len(made) == 7 * 8
    assert all(column.first == 0 for column in table.columns)
    assert found.measure(begun[-1]).excess == 0


def test_only_what_the_full_runs_have_right_is_judged(runs, monkeypatch):
    found, _ = runs
    assert found.reliable == ("colour",)
    score = lambda *_: {"accuracy": 0.7, "accuracy_colour": 0.7}
    monkeypatch.setattr(calibrate_runs, "scored", score)
    with pytest.raises(SystemExit, match="no attribute right in 80% of full runs"):
        SceneRuns(found.bench, found.targets, LIMITS).fill(50)


def test_what_the_source_shows_is_compared_with_the_source(runs):
    """A hit that takes over a wrong shape loses nothing; one that spoils it does."""
    found, _ = runs
    [wrong, right] = (
        replace(found.targets[0], kept={"colour": value}) for value in (0.0, 1.0)
    )
    reference = {}
    for target in (wrong, right):
        own = SceneRuns(found.bench, [target], LIMITS)
        own.full = {0: replace(found.full[0])}
        own.judge_by(("colour",))
        reference[target.kept["colour"]] = own.full[0].scores
    assert reference[0.0]["accuracy_reliable"] == 0
    assert reference[1.0]["accuracy_reliable"] == 1
    assert reference[0.0]["accuracy_colour"] == reference[1.0]["accuracy_colour"] == 1


def test_step_caches_that_save_most_come_first():
    begun = replace(START, cache=MOVES.caches[3])
    found = [each.cache for each in MOVES.coordinates()["cache"](begun)]
    assert found == [*reversed(MOVES.caches[4:]), MOVES.caches[2]]


def test_a_step_cache_that_is_not_on_the_grid_stays():
    begun = replace(START, cache=TaylorSeer(interval=4))
    assert not list(MOVES.coordinates()["cache"](begun))


def test_rows_are_of_both_kinds_of_targets_and_without_times(runs):
    found, _ = runs
    policy = Policy(50, (Tier(0.8, 5, 5),))
    took = {"denoise": 1.0}
    for each in found.full.values():
        each.ledger.seconds.update(took)
    found.measure(policy)
    for [each] in found.known.values():
        each.record.ledger.seconds.update(took)
    rows = list(SceneCalibration(found, found, MOVES).rows({"chosen": policy}))
    told = [(row["split"], row["over"], row["targets"]) for row in rows]
    assert told == [
        (split, over, count)
        for split in ("search", "fresh")
        for over, count in (("hits", 4), ("reworded", 4), ("all", 8))
    ]
    assert rows[0]["equivalents"] == 25 and "accuracy_loss" in rows[0]
    assert not any(key.startswith(("speedup", "seconds")) for key in rows[0])


def test_the_options_say_how_long():
    options = parser().parse_args(["--steps", "4", "--minutes", "2.5"])
    assert (options.steps, options.minutes, options.policy) == (4, 2.5, None)
