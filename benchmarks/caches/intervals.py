"""Step caches that compute steps at intervals, and mixtures with a guidance cache.

Each gets the setting whose work is nearest to a number of full steps. All of it is
known before the run.
"""

from collections.abc import Callable, Iterator, Sequence

from chorus_jax.intra_request import StepCache
from chorus_jax.intra_request.foca import FoCa
from chorus_jax.intra_request.guidance_cache import GuidanceCache
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.mixture import Mixture
from chorus_jax.intra_request.racer import RACER
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.intra_request.taylor import TaylorSeer

INTERVALS: dict[str, Callable[[int, int], ScheduledCache]] = {
    "taylor 1": lambda n, first: TaylorSeer(n, first=first),
    "taylor 2": lambda n, first: TaylorSeer(n, first=first, order=2),
    "last velocity": lambda n, first: TaylorSeer(n, first=first, order=0),
    "taylor 1, residual": lambda n, first: TaylorSeer(n, first=first, grain="residual"),
    "taylor 1, branches": lambda n, first: TaylorSeer(n, first=first, grain="branches"),
    "foca": lambda n, first: FoCa(n, first=first),
    "hicache": lambda n, first: HiCache(n, first=first),
}


def forecasters(count: int, steps: int) -> Iterator[tuple[str, StepCache]]:
    """Caches that compute steps at intervals and forecast the skipped ones.

    Of the settings that are nearest to `count` computed steps, a cache gets the one
    whose number of full steps at the start is nearest to three (at least five for
    Spectrum and RACER).
    """
    firsts = sorted(range(1, steps // 2 + 1), key=lambda first: abs(first - 3))
    for name, make in INTERVALS.items():
        made = [make(n, first) for first in firsts for n in range(2, 9)]
        yield name, nearest(made, count, steps)
    growing = [(first, 0.05 * n) for first in (5, *range(6, 40)) for n in range(61)]
    spectra = [Spectrum(first=first, growth=growth) for first, growth in growing]
    yield "spectrum", nearest(spectra, count, steps)
    racers = [RACER(first=first, growth=growth) for first, growth in growing]
    yield "racer", nearest(racers, count, steps)


def nearest(caches: Sequence, count: int, steps: int) -> StepCache:
    """The first step cache whose number of computed steps is nearest to `count`."""
    return min(caches, key=lambda cache: abs(sum(cache.computes(steps)) - count))


NEAR = 0.03  # of all steps
# Mixtures with a cache of guidance branches: the cache of steps, by name.
MIXTURES = {f"{name}, guidance": INTERVALS[name] for name in ("taylor 1", "hicache")}


def mixtures(count: int, steps: int) -> Iterator[tuple[str, StepCache]]:
    """A cache of steps around one that runs all guidance branches now and then, where
    both save work and a setting is near enough to `count`."""
    for name, make in MIXTURES.items():
        made = [
            Mixture(make(n, 3), GuidanceCache(m, first=3, growth=1.0))
            for n in range(2, 9)
            for m in (5, 10, 25)
            if m > n
        ]
        apart = lambda cache: abs(spent(cache, steps) - count)
        best = min(made, key=apart)
        if apart(best) <= NEAR * steps:
            yield name, best


def spent(mixture: Mixture, steps: int) -> float:
    """The work of a mixture with a guidance cache of two branches, in full steps."""
    work, owed = 0.0, False
    within = mixture.within
    assert isinstance(within, GuidanceCache)
    pairs = zip(mixture.outer.computes(steps), within.runs_all(steps))
    for runs, full in pairs:
        owed |= bool(full)
        work += runs * (1.0 if owed else 0.5)
        owed &= not runs
    return work
