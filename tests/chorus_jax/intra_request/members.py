"""Every step cache with a setting that reuses nothing and one that reuses much."""

from dataclasses import dataclass
from typing import Any

from chorus_jax.intra_request import EveryStep, SkipSteps
from chorus_jax.intra_request.bac import BAC
from chorus_jax.intra_request.branch_table import BranchTable
from chorus_jax.intra_request.dbcache import DBCache
from chorus_jax.intra_request.dicache import DiCache
from chorus_jax.intra_request.easy import EasyCache
from chorus_jax.intra_request.erta import ERTACache
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.intra_request.foca import FoCa
from chorus_jax.intra_request.guidance_cache import GuidanceCache
from chorus_jax.intra_request.harmonica import HarmoniCa
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.mag import MagCache
from chorus_jax.intra_request.mixture import Mixture
from chorus_jax.intra_request.pab import PAB
from chorus_jax.intra_request.planned import PlannedCache
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.intra_request.profiling import ProfilingDiT
from chorus_jax.intra_request.racer import RACER
from chorus_jax.intra_request.sea import SeaCache
from chorus_jax.intra_request.sen import SenCache
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.intra_request.tea import TeaCache

STEPS = 6
MANY = 100.0  # a threshold that nothing reaches


@dataclass(frozen=True)
class Member:
    """A step cache in the table of tests.

    Attributes:
        neutral: computes everything.
        active: reuses where it can.
        computed: the steps of 6 that the active one computes, if they are known.
    """

    neutral: Any
    active: Any
    computed: tuple[int, ...] | None = None

    @property
    def branches(self) -> bool:
        """Whether it reuses the branches of layers, which the toy does not have."""
        grain = getattr(self.active, "grain", "")
        return isinstance(self.active, BranchTable) or grain == "branches"

    @property
    def middle(self) -> bool:
        """Whether it skips layers in the middle only; the toy has two layers."""
        return isinstance(self.active, DBCache)


MEMBERS = {
    "every": Member(EveryStep(), EveryStep(), (0, 1, 2, 3, 4, 5)),
    "skip": Member(SkipSteps(()), SkipSteps((1, 3, 4)), (0, 2, 5)),
    "tea": Member(TeaCache(0.0, (1.0, 0.0)), TeaCache(MANY, (1.0, 0.0)), (0, 5)),
    "mag": Member(
        MagCache(0.0, (1.0,) * STEPS),
        MagCache(0.25, (1.0, 0.9, 0.9, 0.9, 0.9, 0.9), retention=0.0),
        (0, 2, 4),  # the error is .1 after one step and .29 after two
    ),
    "easy": Member(EasyCache(0.0), EasyCache(MANY, first=1), (0, 1, 5)),
    "first-block": Member(
        FirstBlock(0.0), FirstBlock(MANY, first=2, last=1), (0, 1, 5)
    ),
    "dbcache": Member(
        DBCache(0.0, front=1, back=1),
        DBCache(MANY, front=1, back=1, first=2, last=1),
        (0, 1, 5),
    ),
    "taylor": Member(
        TaylorSeer(interval=1), TaylorSeer(interval=2, order=2), (0, 2, 4)
    ),
    "taylor-residual": Member(
        TaylorSeer(interval=1, grain="residual"),
        TaylorSeer(interval=3, grain="residual"),
        (0, 3),
    ),
    "taylor-branches": Member(
        TaylorSeer(interval=1, grain="branches"),
        TaylorSeer(interval=2, grain="branches"),
        (0, 2, 4),
    ),
    "hicache": Member(HiCache(interval=1), HiCache(interval=3), (0, 1, 4)),
    "foca": Member(FoCa(interval=1), FoCa(interval=3, first=2), (0, 1, 4)),
    "spectrum": Member(
        Spectrum(window=1.0, growth=0.0), Spectrum(first=2, depth=3), (0, 1, 3, 5)
    ),
    "racer": Member(
        RACER(window=1.0, growth=0.0),
        RACER(first=2, depth=3, threshold=0.0),
        (0, 1, 2, 4),  # 3 and 5 are scheduled: always in doubt, it is a step early
    ),
    "dicache": Member(DiCache(0.0), DiCache(MANY, retention=0.4, last=1), (0, 1, 5)),
    "sea": Member(SeaCache(0.0), SeaCache(MANY), (0, 3, 5)),
    "sen": Member(SenCache(0.0), SenCache(MANY, first=1), (0, 4, 5)),
    "guidance": Member(
        GuidanceCache(interval=1), GuidanceCache(interval=3, first=1), (0, 2, 5)
    ),
    "pab": Member(PAB(1, 1, 1), PAB(2, 3, 2, above=0.0, below=1001.0), (0,)),
    "profiling": Member(
        ProfilingDiT((), of=0), ProfilingDiT((1,), full=(3,), first=1, of=0), (0, 3)
    ),
    "bac": Member(BAC(), BAC((((0, 2), (0,), (0, 3)),) * 4), (0,)),
    "harmonica": Member(
        HarmoniCa(),
        HarmoniCa((((0.9, 0.2, 0.1),) * 4, ((0.05, 0.9, 0.1),) * 4) * 3),
        (0,),
    ),
    "planned": Member(
        PlannedCache(()),
        PlannedCache((1, 3, 4), ((1.0,), (1.5, -0.5), (2.0, -1.0)), 6),
        (0, 2, 5),
    ),
    "planned-residual": Member(
        PlannedCache((), grain="residual"),
        PlannedCache((1, 3, 4), ((1.0,), (1.5, -0.5), (2.0, -1.0)), 6, "residual"),
        (0, 2, 5),
    ),
    "planned-tokens": Member(
        PlannedTokens(),
        PlannedTokens(
            (1.0, 1.0, 0.0, 0.5, 0.0, 1.0),
            ((2, (1, 0), (1.5, -0.5)), (4, (3,), (0.9,))),
        ),
        (0, 1, 3, 5),
    ),
    "erta": Member(ERTACache(()), ERTACache((1, 2, 4), (0.9, 0.8, 1.1)), (0, 3, 5)),
    "mixture": Member(
        Mixture(SkipSteps(()), GuidanceCache(interval=1)),
        Mixture(TaylorSeer(interval=2), GuidanceCache(interval=3, first=1)),
        (0, 2),  # 4 is run too, for the prompt's branch alone
    ),
}
