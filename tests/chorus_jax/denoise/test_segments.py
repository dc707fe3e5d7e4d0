"""The pieces of plans."""

import pytest

from chorus_jax.denoise.plan import StepPlan, Stretch
from chorus_jax.denoise.region import Region
from chorus_jax.denoise.region_steps import OpeningStep, RegionSteps
from chorus_jax.denoise.segments import segments
from chorus_jax.denoise.whole_steps import WholeSteps
from chorus_jax.intra_request import EveryStep

EVERY, NAME = EveryStep(), "transformer"
OPEN = Region((1, 1, 1), 2, 1, 5)


def whole(first, last, resets=False, expert=NAME):
    return WholeSteps(first, last, EVERY, expert, resets)


def test_a_plain_plan_is_one_piece():
    assert segments(StepPlan.plain(4)) == (whole(0, 4),)
    assert segments(StepPlan.plain(4, first=4)) == ()


def test_a_region_is_opened_run_with_its_halo_and_without():
    closed = RegionSteps(5, 8, EVERY, NAME, OPEN, 1, False)
    opened = RegionSteps(3, 5, EVERY, NAME, OPEN, 0, True, closed)
    assert segments(StepPlan.staged(10, 1, 8, OPEN, opening=2)) == (
        whole(1, 2),
        OpeningStep(2, EVERY, NAME, opened),
        opened,
        closed,
        whole(8, 10, resets=True),
    )


def test_a_halo_that_is_never_open_or_never_closes_has_one_piece():
    for region, halo in ((Region((1, 1, 1), 2, 1, 2), False), (OPEN, True)):
        one = RegionSteps(2, 5, EVERY, NAME, region, 0, halo)
        assert segments(StepPlan.staged(5, 1, 5, region)) == (
            OpeningStep(1, EVERY, NAME, one),
            one,
        )


@pytest.mark.parametrize("open_until", [0, 3, 5])
def test_without_a_halo_solver_and_cache_are_not_reset_within_the_region(open_until):
    region = Region((1, 1, 1), 2, 0, open_until)
    _, *rest = segments(StepPlan.staged(5, 1, 5, region))
    assert rest == [RegionSteps(2, 5, EVERY, NAME, region, 0, False)]


def test_another_transformer_begins_its_step_cache_anew():
    plan = StepPlan(4, (Stretch(0, 2, expert="high"), Stretch(2, 4, expert="low")))
    assert segments(plan) == (
        whole(0, 2, expert="high"),
        whole(2, 4, True, expert="low"),
    )
