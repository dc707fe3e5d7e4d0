"""The step caches that are compared, each at some settings."""

from dataclasses import dataclass

from chorus_jax.intra_request import EveryStep, SkipSteps, StepCache
from chorus_jax.intra_request.dicache import DiCache
from chorus_jax.intra_request.easy import EasyCache
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.intra_request.foca import FoCa
from chorus_jax.intra_request.guidance_cache import GuidanceCache
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.mag import MagCache
from chorus_jax.intra_request.pab import PAB
from chorus_jax.intra_request.sea import SeaCache
from chorus_jax.intra_request.sen import SenCache
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.intra_request.tea import TeaCache

FULL, FEWER = "full", "fewer steps"


@dataclass(frozen=True)
class CacheArm:
    """A way to run a request.

    Attributes:
        method: its name in the tables.
        cache: the step cache.
        steps: the run's number of steps; 0 for the request's.
    """

    method: str
    cache: StepCache
    steps: int = 0


def interval_arms(interval: int) -> list[CacheArm]:
    """The forecasters that compute every n-th step."""
    return [
        CacheArm("last velocity", TaylorSeer(interval, order=0)),
        CacheArm("taylor 1", TaylorSeer(interval)),
        CacheArm("taylor 2", TaylorSeer(interval, first=3, order=2)),
        CacheArm("hicache", HiCache(interval)),
        CacheArm("foca", FoCa(interval)),
    ]


def arms_of(steps: int, ratios: tuple[float, ...]) -> list[CacheArm]:
    """All arms at this number of steps; `ratios` are MagCache's, of the model."""
    arms = [CacheArm(FULL, EveryStep())]
    for share in (0.75, 0.5, 0.35, 0.25):
        arms.append(CacheArm(FEWER, EveryStep(), max(1, round(share * steps))))
    if steps < 10:
        arms.append(CacheArm("last velocity", SkipSteps((steps - 2,))))
        arms.append(CacheArm("taylor 1", TaylorSeer(2, first=2)))
        arms.append(CacheArm("first block", FirstBlock(0.24, first=1)))
        return arms
    for interval in (2, 3, 4):
        arms += interval_arms(interval)
    for threshold, longest in ((0.03, 1), (0.12, 2), (0.3, 4)):
        mag = MagCache(threshold, ratios, longest, 0.1)
        arms.append(CacheArm("mag", mag))
    for growth in (0.1, 0.75):
        arms.append(CacheArm("spectrum", Spectrum(growth=growth)))
    for threshold in (0.05, 0.15):
        arms += [
            CacheArm("easy", EasyCache(threshold, first=3)),
            CacheArm("tea", TeaCache(threshold, (1.0, 0.0))),
            CacheArm("sea", SeaCache(2 * threshold, longest=4)),
            CacheArm("sen", SenCache(threshold, first=3, longest=4)),
            CacheArm("dicache", DiCache(2 * threshold, retention=0.1)),
            CacheArm("first block", FirstBlock(2 * threshold, first=3)),
        ]
    arms.append(CacheArm("guidance", GuidanceCache(first=3)))
    arms.append(CacheArm("pab", PAB(2, 6)))
    return arms
