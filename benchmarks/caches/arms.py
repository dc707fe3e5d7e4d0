"""The step caches that are compared, each at a given share of the full run's work.

If the computed steps of a cache are known before the run, it gets the setting whose
number of computed steps is nearest to the share. For caches that decide from data
during the run, a threshold is searched by trial runs (`thresholds.threshold_at`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.caches.foreseen import Foreseen
from benchmarks.caches.intervals import INTERVALS, MIXTURES, forecasters, mixtures
from chorus_jax.intra_request import EveryStep, SkipSteps, StepCache
from chorus_jax.intra_request.dbcache import DBCache
from chorus_jax.intra_request.dicache import DiCache
from chorus_jax.intra_request.easy import EasyCache
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.intra_request.guidance_cache import GuidanceCache
from chorus_jax.intra_request.pab import PAB
from chorus_jax.intra_request.qualities import QUALITIES
from chorus_jax.intra_request.racer import RACER
from chorus_jax.intra_request.sea import SeaCache
from chorus_jax.intra_request.sen import SenCache
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.token_budgets.presets import PRESETS

FULL, FEWER = "full", "fewer steps"
SHARES = (0.75, 0.5, 0.35, 0.25)
PLANS = ("planned", "planned, held", "planned, scaled", "planned tokens")
FITTED = (*PLANS, "bac", "profiling")
QUALITY = "quality"
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
        tokens: the preset of token budgets; "" for none.
    """

    method: str
    cache: StepCache = EveryStep()
    steps: int = 0
    shift: float = 0.0
    solver: str = ""
    tokens: str = ""


@dataclass(frozen=True)
class SearchedCache:
    """A step cache that decides from data during the run, by a threshold.

    Attributes:
        make: returns the step cache with a given threshold.
        low: a threshold with which most steps are computed.
        high: a threshold with which few steps are computed.
    """

    make: Callable[[float], StepCache]
    low: float
    high: float


WATCHERS = {
    "first block": SearchedCache(lambda x: FirstBlock(x, first=3), 0.01, 0.4),
    "dbcache": SearchedCache(lambda x: DBCache(x, front=1, first=3, back=1), 0.01, 0.4),
    "easy": SearchedCache(lambda x: EasyCache(x, first=3), 0.01, 0.6),
    "dicache": SearchedCache(lambda x: DiCache(x, retention=0.1), 0.01, 0.6),
    "sea": SearchedCache(lambda x: SeaCache(x, longest=4), 0.02, 1.5),
}


def watchers(foreseen: Foreseen) -> dict[str, SearchedCache]:
    """Step caches that decide from data during the run, by name.

    SenCache is included if its norms were measured on the model.
    """
    if foreseen.norms is None:
        return WATCHERS
    norms = foreseen.norms
    make = lambda x: SenCache(x, *norms, first=3, longest=4)
    return {**WATCHERS, "sen": SearchedCache(make, 0.01, 2.0)}


def arms_at(share: float, steps: int, foreseen: Foreseen) -> list[CacheArm]:
    """The arms for a share of the full run's work, if known before the run."""
    count = max(1, round(share * steps))
    arms = [*fewer(count, steps), *fitted(share, count, foreseen)]
    if steps < FEW:
        return arms
    arms += [*known(count, foreseen), *branches(share), *budgeted(share)]
    found = [*forecasters(count, steps), *mixtures(count, steps)]
    return [*arms, *(CacheArm(name, cache) for name, cache in found)]


def qualities() -> list[CacheArm]:
    """The step caches of the named qualities, of those that skip any step."""
    skipping = {k: x for k, x in QUALITIES.items() if x != EveryStep()}
    return [CacheArm(f"{QUALITY} {name}", cache) for name, cache in skipping.items()]


def fewer(count: int, steps: int) -> Iterator[CacheArm]:
    """The baselines: runs of fewer steps.

    They use the request's schedule, other shifts, or another solver.
    """
    yield CacheArm(FEWER, steps=count)
    if steps < FEW:
        return
    for shift in (2.0, 5.0):
        yield CacheArm(f"{FEWER}, shift", steps=count, shift=shift)
    yield CacheArm(f"{FEWER}, unipc", steps=count, solver="unipc")


def methods(steps: int) -> tuple[str, ...]:
    """The names of the methods at this number of steps.

    HarmoniCa is listed for few steps only, since its router is trained through all
    steps of a run.
    """
    if steps < FEW:
        return (*FITTED, "harmonica", *dict.fromkeys(arm.method for arm in few(steps)))
    others = ("tea", "mag", "spectrum", "racer", "sen", "guidance", "pab")
    named = (arm.method for arm in qualities())
    return (*FITTED, *others, *INTERVALS, *MIXTURES, *WATCHERS, *BUDGETED, *named)


def few(steps: int) -> list[CacheArm]:
    """Caches for runs of few steps."""
    return [
        CacheArm("last velocity", SkipSteps((steps - 2,))),
        CacheArm("taylor 1", TaylorSeer(2, first=2)),
        CacheArm("taylor 1, branches", TaylorSeer(2, first=2, grain="branches")),
        CacheArm("racer", RACER(growth=0.0, first=2)),
        CacheArm("first block", FirstBlock(0.24, first=1)),
    ]


def known(count: int, foreseen: Foreseen) -> Iterator[CacheArm]:
    """TeaCache and MagCache with settings from the measured properties of the model."""
    if len(foreseen.changes):
        yield CacheArm("tea", foreseen.tea(count))
    if foreseen.ratios:
        yield CacheArm("mag", foreseen.mag(count))


def fitted(share: float, count: int, foreseen: Foreseen) -> Iterator[CacheArm]:
    """Caches that are fitted to the model: plans, BAC, ProfilingDiT and HarmoniCa.

    In skipped steps, a plan of steps uses the last velocity, the last velocity times a
    factor, or the residual of all layers on the line through the last two. A plan of
    tokens chooses a share of the tokens for each step.
    """
    planner, tokens = foreseen.planner, foreseen.tokens
    if planner is not None and count < planner.steps:
        yield CacheArm("planned, held", planner.held(count))
        yield CacheArm("planned, scaled", planner.scaled(count))
        yield CacheArm("planned", planner.planned(count))
    if tokens is not None and tokens.early <= share * tokens.steps:
        yield CacheArm("planned tokens", tokens.planned(share * tokens.steps))
    if foreseen.similarity is not None:
        yield CacheArm("bac", foreseen.bac(share))
        if (profiling := foreseen.profiling(share)) is not None:
            yield CacheArm("profiling", profiling)
    if foreseen.scores is not None:
        yield CacheArm("harmonica", foreseen.harmonica(share))


# HSA as in the paper, whose tokens keep their last velocity, and with forecasts (ours).
BUDGETED: dict[str, StepCache] = {"hsa": EveryStep(), "hsa, taylor": TaylorSeer(1)}


def budgeted(share: float) -> Iterator[CacheArm]:
    """Token budgets, at the shares that a preset is named after."""
    preset = f"hsa-{round(100 * share)}"
    for method, cache in BUDGETED.items() if preset in PRESETS else ():
        yield CacheArm(method, cache, tokens=preset)


def branches(share: float) -> Iterator[CacheArm]:
    """Caches of guidance branches, and of the branches of layers.

    The prompt's branch always runs, so shares below a half cannot be reached.
    """
    if share == 0.75:
        yield CacheArm("guidance", GuidanceCache(2, first=3))
        yield CacheArm("pab", PAB(2, 6))
    if share == 0.5:
        yield CacheArm("guidance", GuidanceCache(5, first=3))
        yield CacheArm("pab", PAB(3, 6, 2, above=50.0, below=950.0))
