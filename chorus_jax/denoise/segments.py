"""Segments: the parts of a plan that the loop runs one after another."""

from chorus_jax.denoise.budget_steps import BudgetSteps
from chorus_jax.denoise.plan import StepPlan, Stretch
from chorus_jax.denoise.region_steps import OpeningStep, RegionSteps
from chorus_jax.denoise.whole_steps import WholeSteps

Segment = WholeSteps | BudgetSteps | OpeningStep | RegionSteps


def segments(plan: StepPlan) -> tuple[Segment, ...]:
    """The segments of a plan, in the order they are run."""
    pieces: list[Segment] = []
    ends = (*plan.stretches[1:], None)
    for stretch, following in zip(plan.stretches, ends):
        if stretch.region is not None:
            pieces += region_steps(stretch)
            continue
        before = pieces[-1] if pieces else None
        if following is None or following.region is None:
            pieces.append(whole_steps(stretch, stretch.last, before))
            continue
        if stretch.last - stretch.first > 1:
            pieces.append(whole_steps(stretch, stretch.last - 1, before))
        first, *_ = region_steps(following)
        last = stretch.last - 1
        pieces.append(OpeningStep(last, stretch.cache, stretch.expert, first))
    return tuple(pieces)


def whole_steps(
    stretch: Stretch, last: int, before: Segment | None
) -> WholeSteps | BudgetSteps:
    """The segment of a stretch whose steps run all tokens, up to `last`.

    Args:
        stretch: a stretch without a region.
        last: the step after the last one of the segment.
        before: the segment before this one; None for the first.
    """
    first, expert = stretch.first, stretch.expert
    if stretch.budgets is not None:
        # The previous segment ran another expert; the tokens keep their ranks.
        ranked = isinstance(before, BudgetSteps) and before.ranks
        return BudgetSteps(first, last, expert, stretch.budgets, ranked, stretch.cache)
    # Every segment except the first resets its step cache, whose state is from before a
    # region or of another expert.
    return WholeSteps(first, last, stretch.cache, expert, before is not None)


def region_steps(stretch: Stretch) -> list[RegionSteps]:
    """The segments of a stretch with a region: with the halo, then without it."""
    region = stretch.region
    assert region is not None
    first, last = stretch.first, stretch.last
    closing, alike = (
        region.closing(first, last),
        (stretch.cache, stretch.expert, region),
    )
    budgets = stretch.budgets
    if closing in (first, last):
        halo = closing == last
        return [RegionSteps(first, last, *alike, 0, halo, budgets=budgets)]
    closed = RegionSteps(closing, last, *alike, 1, False, budgets=budgets)
    opened = RegionSteps(first, closing, *alike, 0, True, closed, budgets)
    return [opened, closed]
