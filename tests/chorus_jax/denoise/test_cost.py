"""What a plan computes, counted before it runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chorus_jax.denoise.cost import equivalents
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.region import Region
from chorus_jax.intra_request import SkipSteps

TILES = 8


@st.composite
def numbers(draw):
    """The numbers that make a plan, a region and a step cache."""
    steps = draw(st.integers(1, 12))
    first = draw(st.integers(0, steps))
    last = draw(st.integers(first, steps))
    region = draw(st.tuples(st.integers(1, 4), st.integers(0, 4), st.integers(0, 12)))
    skipped = tuple(sorted(draw(st.sets(st.integers(0, 12)))))
    return steps, first, last, region, skipped


@given(numbers())
def test_each_computed_step_counts_once(made):
    """All but those skipped; a step is computed where its tokens are not those of the
    step before it, and where the region is shown."""
    steps, first, last, (core, halo, open_until), skipped = made
    region = Region((1, 1, 1), core, halo, open_until)
    plan = StepPlan.staged(steps, first, last, region, cache=SkipSteps(skipped))
    shares, begins = dict.fromkeys(range(first, steps), 1.0), {first}
    if regional := range(first + 1, last):
        closing = region.closing(first + 1, last)
        for i in regional:
            shares[i] = (core + halo if i < closing else core) / TILES
        begins |= {first + 1, closing, last}
    computed = [x for i, x in shares.items() if i in begins or i not in skipped]
    assert equivalents(plan, TILES) == pytest.approx(sum(computed))


def test_the_plan_of_the_trial():
    region = Region((1, 2, 2), 32)
    assert equivalents(StepPlan.staged(50, 20, 40, region), 64) == 20.5


def test_plans_that_reuse_nothing_or_all():
    assert equivalents(StepPlan.plain(4), TILES) == 4
    assert equivalents(StepPlan.plain(4, first=4), TILES) == 0


def test_sampled_tiles_are_run_too():
    region = Region((1, 2, 2), 2, 1, 3, context="sampled", sampled=1)
    plan = StepPlan.staged(6, 1, 5, region)
    assert equivalents(plan, TILES) == 2 + 1 * 4 / 8 + 2 * 3 / 8
