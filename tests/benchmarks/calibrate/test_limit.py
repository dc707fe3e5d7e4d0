"""The limit of regions is the highest at which they lose no more than is allowed."""

import pytest

from benchmarks.calibrate.limit import limited, limits, regional, rows_of
from benchmarks.reuse.bench import Target
from benchmarks.reuse.scores import TargetRecord
from chorus_jax.calibration.moves import LIMITS, Moves
from chorus_jax.engine import Ledger
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.request import Request
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.examples import ScenePrompt

ASKED = Attributes("red", "circle", "small", "left", "gray")
MOVES = Moves(4, (0.5,))
POLICY = default_policy(4)


def target(number, score=0.5, changed=("background",)):
    request = Request("a", seed=0)
    prompt = ScenePrompt("a", (ASKED,))
    return Target(number, prompt, request, 32, "a", score, changed)


class Runs:
    """A region of these targets loses the ground where the videos differ by a quarter
    or more beyond it (a tenth a number) and the limit lets that pass; or always."""

    def __init__(self, targets, losing=False):
        self.targets, self.losing, self.attributes = targets, losing, []

    def records(self, policy, targets):
        [tier] = policy.tiers
        limit = policy.regions.limit if tier.active < 1 else -1.0
        self.attributes.append((tier.active, [x.number for x in targets]))
        return [self.record(each, limit) for each in targets]

    def record(self, each, limit):
        beyond = each.number / 10
        partial = beyond <= limit
        right = float(not partial or not (self.losing or beyond >= 0.25))
        scores = {"changed_reliable": right, "detail": 0.8}
        return TargetRecord(each.number, Ledger("semantic", 4, 3.0 - partial), scores)


def test_the_highest_limit_that_loses_nothing_is_taken():
    runs = Runs([target(n) for n in (0, 1, 2, 5, 9)])
    found = limits(runs, MOVES, POLICY)
    assert [each.limit for each in found] == [1.2, 0.6, 0.3]
    assert limited(POLICY, found).regions.limit == 0.3
    assert [each.verdict.excess > 0 for each in found] == [True, True, False]
    assert [active for active, _ in runs.attributes] == [1.0, *[regional(4).active] * 3]


@pytest.mark.parametrize(("harmless", "chosen"), [(149, 1.2), (98, 0.3)])
def test_one_lost_in_a_hundred_is_allowed(harmless, chosen):
    """Beyond a limit of 0.3 one target of all is lost."""
    runs = Runs([target(0) for _ in range(harmless)] + [target(5)])
    assert limited(POLICY, limits(runs, MOVES, POLICY)).regions.limit == chosen


def test_the_lowest_is_taken_where_all_lose():
    found = limits(Runs([target(0)], losing=True), MOVES, POLICY)
    assert [each.limit for each in found] == sorted(LIMITS, reverse=True)
    assert limited(POLICY, found).regions.limit == min(LIMITS)


def test_only_what_differs_from_a_source_is_run():
    alike, without = target(1, changed=()), target(2, score=None, changed=())
    runs = Runs([target(0), alike, without, target(3, score=-0.1)])
    limits(runs, MOVES, POLICY)
    assert all(numbers == [0] for _, numbers in runs.attributes)


@pytest.mark.parametrize("steps, targets", [(2, [target(0)]), (4, [])])
def test_without_a_region_or_a_target_the_policy_stays(steps, targets):
    policy = default_policy(steps)
    found = limits(Runs(targets), Moves(steps, (0.5,)), policy)
    assert found == [] and limited(policy, found) == policy
    assert [*rows_of(found, policy)] == []


def test_a_row_says_what_was_lost_at_a_limit():
    found = limits(Runs([target(n) for n in (0, 5)]), MOVES, POLICY)
    rows = [*rows_of(found, POLICY)]
    assert [row["limit"] for row in rows] == [1.2, 0.6, 0.3]
    assert [row["changed_reliable_loss"] for row in rows] == [0.5, 0.5, 0.0]
    assert [row["equivalents"] for row in rows] == [2.0, 2.0, 2.5]
    assert {row["split"] for row in rows} == {"limit"}
    assert rows[0]["plan"]["active"] == regional(4).active == 0.5
