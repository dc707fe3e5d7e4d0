"""A plan as the pieces that the loop runs one after another."""

from chorus_jax.denoise.plan import StepPlan, Stretch
from chorus_jax.denoise.region_steps import OpeningStep, RegionSteps
from chorus_jax.denoise.whole_steps import WholeSteps

Segment = WholeSteps | OpeningStep | RegionSteps


def segments(plan: StepPlan) -> tuple[Segment, ...]:
    """The pieces of a plan, in their order."""
    pieces: list[Segment] = []
    ends = (*plan.stretches[1:], None)
    for stretch, following in zip(plan.stretches, ends):
        if stretch.region is not None:
            pieces += region_steps(stretch)
            continue
        # After a region the caches' states are of before it, or of another expert.
        resets = bool(pieces)
        if following is None or following.region is None:
            pieces.append(whole_steps(stretch, stretch.last, resets))
            continue
        if stretch.last - stretch.first > 1:
            pieces.append(whole_steps(stretch, stretch.last - 1, resets))
        first, *_ = region_steps(following)
        last = stretch.last - 1
        pieces.append(OpeningStep(last, stretch.cache, stretch.expert, first))
    return tuple(pieces)


def whole_steps(stretch: Stretch, last: int, resets: bool) -> WholeSteps:
    """The steps of a stretch up to `last` with all tokens."""
    return WholeSteps(stretch.first, last, stretch.cache, stretch.expert, resets)


def region_steps(stretch: Stretch) -> list[RegionSteps]:
    """The steps of a stretch with a region: with the halo, then without."""
    region = stretch.region
    assert region is not None
    first, last = stretch.first, stretch.last
    closing, cache, expert = region.closing(first, last), stretch.cache, stretch.expert
    if closing == first:
        return [RegionSteps(first, last, cache, expert, region, 0, False)]
    if closing == last:
        return [RegionSteps(first, last, cache, expert, region, 0, True)]
    closed = RegionSteps(closing, last, cache, expert, region, 1, False)
    opened = RegionSteps(first, closing, cache, expert, region, 0, True, closed)
    return [opened, closed]
