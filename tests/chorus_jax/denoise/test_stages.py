"""The steps of a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.denoise.stages import StagePlan, Stretch


@st.composite
def fields_of_plans(draw):
    steps = draw(st.integers(1, 12))
    first = draw(st.integers(0, steps))
    last = draw(st.integers(first, steps))
    opening = draw(st.integers(1, max(last - first, 1)))
    region = first + opening < last
    opened = first + opening
    edges = {opened - 1, opened, last} if region else set()
    free = set(range(first + 1, steps)) - edges
    some = st.sets(st.sampled_from(sorted(free))) if free else st.just(set())
    keep = draw(st.sets(st.integers(1, steps)))
    skipped = tuple(sorted(draw(some)))
    return steps, first, last, opening, skipped, tuple(sorted(keep))


@given(fields_of_plans())
def test_stretches_cover_the_run_in_order(fields):
    plan = StagePlan(*fields)
    steps = [step for stretch in plan.stages for step in stretch.steps]
    assert steps == list(range(plan.start, plan.steps))
    parts = [stretch for stretch in plan.stages if not stretch.whole]
    regional = [step for stretch in parts for step in stretch.steps]
    assert regional == list(plan.regional)
    assert regional == list(range(plan.start + plan.opening, plan.region_until))


@given(fields_of_plans(), st.sampled_from([0.0, 0.25, 1.0]))
def test_equivalents_count_each_computed_step_once(fields, active):
    plan = StagePlan(*fields)
    computed = [
        1.0 if stretch.whole else active
        for stretch in plan.stages
        for step in stretch.steps
        if step not in plan.skipped
    ]
    assert plan.equivalents(active) == sum(computed)


@given(fields_of_plans())
def test_equal_plans_are_one_compile(fields):
    plans = {StagePlan(*fields), StagePlan(*fields), StagePlan.plain(13)}
    assert len(plans) == 2


def test_the_plan_of_the_trial():
    plan = StagePlan(50, 20, 40, keep=(20, 30, 50))
    assert plan.start == 20
    assert plan.stages == (
        Stretch(20, 21, True),
        Stretch(21, 40, False),
        Stretch(40, 50, True),
    )
    assert plan.equivalents(0.5) == 20.5
    assert plan.kept == (50,)


def test_plans_that_reuse_nothing_or_all():
    plain, replay = StagePlan.plain(4, keep=(1, 2)), StagePlan.replay(4)
    assert plain.stages == (Stretch(0, 4, True),) and plain.kept == (1, 2)
    assert plain.equivalents(0.5) == 4
    assert replay.start == 4 and replay.stages == () and replay.equivalents(0.5) == 0


def test_a_stage_that_is_all_opening_has_no_region():
    assert StagePlan(4, 1, 2).stages == (Stretch(1, 4, True),)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"steps": 0}, "1 or more steps, got 0"),
        ({"reuse_until": -1}, "expected 0 <= reuse_until <= region_until <= steps"),
        ({"reuse_until": 7}, "expected 0 <= reuse_until .* got 7, 6, 10"),
        ({"region_until": 11}, "expected 0 <= reuse_until .* got 2, 11, 10"),
        ({"opening": 0}, "stage 2 has 4 steps, .* got 0"),
        ({"opening": 5}, "stage 2 has 4 steps, .* got 5"),
        ({"skipped": (2,)}, r"skipped is .* in \[3, 10\) in this plan, got \(2,\)"),
        ({"skipped": (1, 5)}, "skipped is"),
        ({"skipped": (5, 4)}, "skipped is a tuple of rising numbers"),
        ({"skipped": (10,)}, "skipped is"),
        ({"skipped": (6,)}, "step 6 is the first on other tokens"),
        ({"skipped": (3,)}, "step 3 is the first on other tokens"),
        ({"skipped": (3,), "opening": 2}, "step 3 shows where the region is"),
        ({"keep": (0, 1)}, r"keep is .* in \[1, 11\)"),
        ({"keep": (11,)}, "keep is"),
        ({"keep": (3, 3)}, "keep is a tuple of rising numbers"),
    ],
)
def test_impossible_plans_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        StagePlan(**({"steps": 10, "reuse_until": 2, "region_until": 6} | fields))


@pytest.mark.parametrize("active", [-0.1, 1.1, float("nan")])
def test_impossible_shares_are_refused(active):
    with pytest.raises(ValueError, match="share of the tokens is 0 to 1"):
        StagePlan.plain(4).equivalents(active)
