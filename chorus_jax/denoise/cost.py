"""The cost of a plan, as far as it is known before the run."""

from chorus_jax.denoise.budget_steps import BudgetSteps
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.region_steps import OpeningStep, RegionSteps
from chorus_jax.denoise.segments import Segment, segments
from chorus_jax.denoise.whole_steps import WholeSteps
from chorus_jax.intra_request.scheduled import ScheduledCache


def equivalents(plan: StepPlan, tiles: int, given: tuple[int, ...] = ()) -> float:
    """The work of a plan in full steps, for a video with `tiles` tiles, of which those
    with the indices `given` have given tokens only.

    The loop counts what it really computes (`RunState.work`): more than this if videos
    differ outside the region too, less if a step cache decides from data to skip.
    """
    return sum((work(x, plan.steps, tiles, given) for x in segments(plan)), 0.0)


def work(
    segment: Segment, steps: int, tiles: int, given: tuple[int, ...] = ()
) -> float:
    """The work of a segment in full steps, in a run of `steps` steps."""
    if isinstance(segment, BudgetSteps):
        return segment.budgeted(tiles, given).equivalents
    if isinstance(segment, RegionSteps) and segment.budgeted is not None:
        return segment.budgeted.equivalents * share(segment, tiles)
    return len(computed(segment, steps)) * share(segment, tiles)


def share(segment: Segment, tiles: int) -> float:
    """The share of the video's tokens that a segment runs."""
    if not isinstance(segment, RegionSteps):
        return 1.0
    region = segment.region
    return (region.tiles if segment.halo else region.closed_tiles) / tiles


def computed(
    segment: OpeningStep | RegionSteps | WholeSteps, count: int
) -> range | list[int]:
    """The steps that a segment computes in a run of `count` steps.

    The first step of a segment is always computed. If its step cache decides during the
    run, all steps are counted.
    """
    if isinstance(segment, OpeningStep):
        return range(segment.first, segment.first + 1)
    steps = range(segment.first, segment.last)
    if not isinstance(segment.cache, ScheduledCache):
        return steps
    table = segment.cache.computes(count)
    return [i for i in steps if i == segment.first or table[i]]
