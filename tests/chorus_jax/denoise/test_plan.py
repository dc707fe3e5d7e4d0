"""The steps of a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.denoise.plan import StepPlan, Stretch
from chorus_jax.denoise.region import Region
from chorus_jax.intra_request import SkipSteps

REGION = Region((1, 2, 2), 2)


@st.composite
def staged(draw):
    """The arguments of `StepPlan.staged`, and its opening."""
    steps = draw(st.integers(1, 12))
    first = draw(st.integers(0, steps))
    last = draw(st.integers(first, steps))
    opening = draw(st.integers(1, max(last - first, 1)))
    return (steps, first, last, REGION), {"opening": opening}


def steps_of(stretch):
    return list(range(stretch.first, stretch.last))


@given(staged())
def test_stretches_cover_the_run_in_order(arguments):
    (steps, first, last, _), options = arguments
    plan = StepPlan.staged(steps, first, last, REGION, **options)
    covered = [step for stretch in plan.stretches for step in steps_of(stretch)]
    assert covered == list(range(plan.start, steps)) and plan.start == first
    parts = [stretch for stretch in plan.stretches if stretch.region is not None]
    regional = [step for stretch in parts for step in steps_of(stretch)]
    assert regional == list(range(first + options["opening"], last))
    assert plan.region == (REGION if regional else None)


@given(staged())
def test_equal_plans_are_one_compile(arguments):
    positions, options = arguments
    plans = {StepPlan.staged(*positions, **options) for _ in range(2)}
    assert len(plans | {StepPlan.plain(13)}) == 2


@given(staged(), st.integers(0, 12))
def test_experts_cut_stretches_and_change_no_step(arguments, switch):
    positions, options = arguments
    plan = StepPlan.staged(*positions, **options)
    names = ["high" if i < switch else "low" for i in range(plan.steps)]
    cut = plan.with_experts(names)
    assert (cut.start, cut.steps) == (plan.start, plan.steps)
    for stretch in cut.stretches:
        assert {names[i] for i in steps_of(stretch)} == {stretch.expert}
    _, first, last, _ = positions
    regional = list(range(first + options["opening"], last))
    alike = [i for i in regional if i > switch or last <= switch]
    wanted = alike if first < switch else regional
    parts = [stretch for stretch in cut.stretches if stretch.region is not None]
    assert [i for stretch in parts for i in steps_of(stretch)] == wanted


def test_a_region_is_shown_anew_by_the_transformer_that_runs_it():
    """What it attends to is held by that transformer's own layers."""
    plan = StepPlan.staged(10, 2, 8, REGION)
    names = ["high"] * 5 + ["low"] * 5
    assert plan.with_experts(names).stretches == (
        Stretch(2, 3, expert="high"),
        Stretch(3, 5, expert="high"),
        Stretch(5, 6, expert="low"),
        Stretch(6, 8, REGION, expert="low"),
        Stretch(8, 10, expert="low"),
    )
    late = plan.with_experts(["high"] * 7 + ["low"] * 3)
    assert late.region is None and late.start == 2


def test_the_plan_of_the_trial():
    plan = StepPlan.staged(50, 20, 40, REGION)
    assert plan.start == 20
    assert plan.stretches == (
        Stretch(20, 21),
        Stretch(21, 40, REGION),
        Stretch(40, 50),
    )


def test_plans_that_reuse_nothing_or_all():
    plain, replay = StepPlan.plain(4), StepPlan.plain(4, first=4)
    assert plain.stretches == (Stretch(0, 4),)
    assert replay.start == 4 and replay.stretches == ()


@pytest.mark.parametrize("opening", [1, 5])
def test_a_stage_that_is_all_opening_has_no_region(opening):
    plan = StepPlan.staged(4, 1, 2, REGION, opening=opening)
    assert plan.stretches == (Stretch(1, 4),)
    assert StepPlan.staged(4, 1, 3, None).stretches == (Stretch(1, 4),)


def test_one_step_cache_serves_all_stretches():
    cache = SkipSteps((3,))
    plan = StepPlan.staged(6, 1, 4, REGION, cache=cache)
    assert {stretch.cache for stretch in plan.stretches} == {cache}


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"steps": 0}, "expected 0 <= reuse_until <= region_until <= steps"),
        ({"reuse_until": -1}, "expected 0 <= reuse_until <= region_until <= steps"),
        ({"reuse_until": 7}, "expected 0 <= reuse_until .* got 7, 6, 10"),
        ({"region_until": 11}, "expected 0 <= reuse_until .* got 2, 11, 10"),
        ({"opening": 0}, "an opening of 1 or more, got 2, 6, 10, 0"),
    ],
)
def test_impossible_stages_are_refused(fields, message):
    usual = {"steps": 10, "reuse_until": 2, "region_until": 6, "region": REGION}
    with pytest.raises(ValueError, match=message):
        StepPlan.staged(**(usual | fields))


@pytest.mark.parametrize(
    "stretches, message",
    [
        ((Stretch(0, 2), Stretch(3, 4)), "follow each other, got"),
        ((Stretch(2, 2), Stretch(2, 4)), "follow each other, got"),
        ((Stretch(-1, 4),), "follow each other, got"),
        ((Stretch(0, 3),), "the last stretch ends at 4, got"),
        ((Stretch(0, 4, REGION),), "begin with a stretch without one"),
        (
            (Stretch(0, 1), Stretch(1, 2, REGION), Stretch(2, 4, REGION)),
            "a region is shown by a step with all tokens before it",
        ),
    ],
)
def test_impossible_stretches_are_refused(stretches, message):
    with pytest.raises(ValueError, match=message):
        StepPlan(4, stretches)


def test_a_run_has_steps():
    with pytest.raises(ValueError, match="1 or more steps, got 0"):
        StepPlan(0, ())
