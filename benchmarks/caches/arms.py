"""The step caches that are compared, each with several settings.

Settings are chosen by the share of steps that they compute, if that is known before the
run. Caches that depend on data during the run have a list of thresholds instead.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.caches.thresholds import Foreseen
from chorus_jax.intra_request import EveryStep, SkipSteps, StepCache
from chorus_jax.intra_request.dicache import DiCache
from chorus_jax.intra_request.easy import EasyCache
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.intra_request.foca import FoCa
from chorus_jax.intra_request.guidance_cache import GuidanceCache
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.pab import PAB
from chorus_jax.intra_request.racer import RACER
from chorus_jax.intra_request.sea import SeaCache
from chorus_jax.intra_request.sen import SenCache
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.intra_request.taylor import TaylorSeer

FULL, FEWER = "full", "fewer steps"
SHARES = (0.75, 0.5, 0.35, 0.25)
INTERVALS = (2, 3, 5)
FEW = 10  # with fewer steps than this there is little to skip


@dataclass(frozen=True)
class CacheArm:
    """One way to run requests: a step cache, or changed sampling settings.

    Attributes:
        method: the name of the method in tables.
        cache: the step cache.
        steps: number of steps; 0 for the request's own.
        shift: the shift of the schedule; 0 for the request's own.
        solver: the name of the solver; "" for the request's own.
    """

    method: str
    cache: StepCache = EveryStep()
    steps: int = 0
    shift: float = 0.0
    solver: str = ""


def arms_of(steps: int, foreseen: Foreseen) -> list[CacheArm]:
    """All arms for runs of this number of steps, the full run first."""
    arms = [CacheArm(FULL), *fewer(steps)]
    if steps < FEW:
        return [*arms, *few(steps), *planned(steps, foreseen)]
    return [
        *(*arms, *planned(steps, foreseen), *known(steps, foreseen)),
        *(*forecasters(), *watchers(), *branches()),
    ]


def fewer(steps: int) -> Iterator[CacheArm]:
    """The baselines: runs of fewer steps.

    They use the request's schedule, other shifts, or another solver.
    """
    counts = sorted({max(1, round(share * steps)) for share in SHARES}, reverse=True)
    for count in counts:
        yield CacheArm(FEWER, steps=count)
    if steps < FEW:
        return
    for count in (counts[1], counts[-1]):
        for shift in (2.0, 5.0):
            yield CacheArm(f"{FEWER}, shift", steps=count, shift=shift)
        yield CacheArm(f"{FEWER}, unipc", steps=count, solver="unipc")


def few(steps: int) -> list[CacheArm]:
    """Caches for runs of few steps."""
    return [
        CacheArm("last velocity", SkipSteps((steps - 2,))),
        CacheArm("taylor 1", TaylorSeer(2, first=2)),
        CacheArm("first block", FirstBlock(0.24, first=1)),
    ]


def known(steps: int, foreseen: Foreseen) -> Iterator[CacheArm]:
    """Caches whose computed steps are known before a run."""
    for share in SHARES:
        count = round(share * steps)
        yield CacheArm("tea", foreseen.tea(count))
        yield CacheArm("mag", foreseen.mag(count))
    for growth in (0.0, 0.1, 0.75):
        yield CacheArm("spectrum", Spectrum(growth=growth))
        yield CacheArm("racer", RACER(growth=growth))


def planned(steps: int, foreseen: Foreseen) -> Iterator[CacheArm]:
    """Plans fitted to the model, with three ways to forecast skipped velocities.

    The forecast is the last velocity, the last velocity times a factor, or a weighted
    sum of the last velocities.
    """
    planner = foreseen.planner
    if planner is None:
        return
    counts = {min(round(share * steps), steps - 1) for share in SHARES}
    for count in sorted(counts, reverse=True):
        yield CacheArm("planned, held", planner.held(count))
        yield CacheArm("planned, scaled", planner.scaled(count))
        yield CacheArm("planned", planner.planned(count))


def forecasters() -> Iterator[CacheArm]:
    """Caches that compute every n-th step and forecast the others."""
    for interval in INTERVALS:
        yield CacheArm("taylor 1", TaylorSeer(interval, first=3))
        yield CacheArm("foca", FoCa(interval))
        yield CacheArm("hicache", HiCache(interval, first=3))
        yield CacheArm("last velocity", TaylorSeer(interval, first=3, order=0))
        yield CacheArm("taylor 2", TaylorSeer(interval, first=3, order=2))
        residual = TaylorSeer(interval, first=3, grain="residual")
        yield CacheArm("taylor 1, residual", residual)
        blocks = TaylorSeer(interval, first=3, grain="branches")
        yield CacheArm("taylor 1, branches", blocks)


LADDERS: dict[str, tuple[Callable[[float], StepCache], tuple[float, ...]]] = {
    "first block": (lambda x: FirstBlock(x, first=3), (0.03, 0.06, 0.12)),
    "easy": (lambda x: EasyCache(x, first=3), (0.03, 0.08, 0.2)),
    "dicache": (lambda x: DiCache(x, retention=0.1), (0.04, 0.1, 0.2)),
    "sea": (lambda x: SeaCache(x, longest=4), (0.1, 0.25, 0.5, 0.8)),
    "sen": (lambda x: SenCache(x, first=3, longest=4), (0.05, 0.1, 0.2)),
}


def watchers() -> Iterator[CacheArm]:
    """Caches that decide from data during the run, from careful to bold."""
    for name, (make, thresholds) in LADDERS.items():
        for threshold in thresholds:
            yield CacheArm(name, make(threshold))


def branches() -> Iterator[CacheArm]:
    """Caches of guidance branches, and of the branches of layers."""
    for interval in (2, 5):
        yield CacheArm("guidance", GuidanceCache(interval, first=3))
    yield CacheArm("pab", PAB(2, 6))
