"""The settings of each step cache that a calibration tries, from bold to careful.

`METHODS` has a line per method: its settings, as a function of full runs, and the
recorder that must observe these full runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus_jax.calibration.branch_fit import BranchRecorder, measured
from chorus_jax.calibration.cache_runs import CacheRuns
from chorus_jax.calibration.fidelity import check_length
from chorus_jax.calibration.full_runs import PROBED, FullRuns
from chorus_jax.calibration.profiling_fit import LayerProfile
from chorus_jax.calibration.recorders import MagnitudeRecorder
from chorus_jax.calibration.sensitivity import PathRecorder
from chorus_jax.calibration.tea_fit import ChangeRecorder, changes_of, polynomials_of
from chorus_jax.calibration.token_groups import GroupedRun
from chorus_jax.calibration.velocity_runs import (
    VelocityRecorder,
    velocities_of,
    velocity_products,
)
from chorus_jax.denoise.state import RunState
from chorus_jax.families.protocols import OffloadingModel, VideoModel
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.intra_request.dicache import DiCache
from chorus_jax.intra_request.easy import EasyCache
from chorus_jax.intra_request.erta import ERTACache
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.intra_request.foca import FoCa
from chorus_jax.intra_request.harmonica import HarmoniCa
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.mag import MagCache
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.intra_request.racer import RACER
from chorus_jax.intra_request.sea import SeaCache
from chorus_jax.intra_request.sen import SenCache
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.intra_request.tea import TeaCache
from chorus_jax.request import Request

INTERVALS = (6, 5, 4, 3, 2)
GROWTHS = (3.0, 1.5, 0.75, 0.3, 0.1, 0.0)
SHARES = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.75, 0.9)


@dataclass(frozen=True)
class CacheMethod:
    """A step cache that can be calibrated.

    Attributes:
        settings: the settings to try, from bold to careful, given the full runs.
        recorder: the step cache used for the full runs, given the number of steps.
        record: what the fit needs of a full run; None if it needs no more than the last
            states of the first runs (`probed`).
        probed: the number of runs whose last states the fit needs.
        fitted: whether its settings are fitted to full runs; the others have settings
            of their own.
        velocities: whether its settings reuse velocities, or are fitted to them: some
            runs do not allow that (see `Request.velocity_obstacle`).
        together: whether its fit runs all transformers in one program, so that none can
            stay in the host's memory.
    """

    settings: Callable[[FullRuns], Sequence[StepCache]]
    recorder: Callable[[int], StepCache] = lambda steps: EveryStep()
    record: Callable[[CacheRuns, Request, RunState], Any] | None = None
    probed: int = 0
    fitted: bool = False
    velocities: bool = False
    together: bool = False


def mag_settings(full: FullRuns) -> list[StepCache]:
    """MagCache settings with the mean magnitude ratios of the runs."""
    ratios = np.mean(full.records, axis=0)
    rounded = tuple(round(float(x), 5) for x in ratios)
    settings = ((0.24, 6), (0.12, 4), (0.12, 2), (0.06, 2), (0.03, 1), (0.01, 1))
    return [
        MagCache(x, rounded, longest, switch=full.switch, shift=full.shift)
        for x, longest in settings
    ]


def ratios_of(state: RunState) -> Float[np.ndarray, " steps"]:
    """The magnitude ratios of a run with one request, in the prompt's branch.

    There is a record per expert, which is 1 at the steps of the other expert.
    """
    records = [np.asarray(record.ratios)[0] for record in state.caches]
    return np.prod(records, axis=0)


def tea_settings(full: FullRuns) -> list[StepCache]:
    """TeaCache settings with a polynomial per expert fitted to the runs."""
    first, *others = polynomials_of(full.records, full.switch)
    settings = TeaCache(
        0.0,
        first,
        steps=full.steps,
        shift=full.shift,
        second=others[0] if others else (),
        switch=full.switch,
    )
    thresholds = (0.4, 0.3, 0.2, 0.15, 0.1, 0.05)
    return [replace(settings, threshold=x) for x in thresholds]


def plans(full: FullRuns, scaled: bool) -> list[StepCache]:
    """Planned step caches, by rising share of computed steps.

    Args:
        full: the full runs.
        scaled: whether skipped steps use the last velocity times a factor, instead of
            residuals on the line through the last two.
    """
    planner, made = full.planner(), list[StepCache]()
    counts = {max(round(x * full.steps), len(planner.begins)) for x in SHARES}
    for count in sorted(counts - {full.steps}):
        if scaled:
            plan = planner.scaled(count)
            gains = tuple(gain for (gain,) in plan.forecasts)
            made.append(ERTACache(plan.steps, gains, plan.of))
        else:
            made.append(planner.planned(count))
    return made


def token_settings(full: FullRuns) -> list[StepCache]:
    """Plans of the tokens of each step, by rising cost."""
    planner, made = full.token_planner(), list[StepCache]()
    least = len(planner.full)
    for share in SHARES:
        if share * full.steps >= least:
            made.append(planner.planned(share * full.steps))
    return [plan for plan in dict.fromkeys(made) if plan != PlannedTokens()]


def sen_settings(full: FullRuns) -> list[StepCache]:
    """SenCache settings with the measured norms of the model's derivatives."""
    by_latents, by_time = (
        tuple(float(f"{x:.4g}") for x in row) for row in full.norms()
    )
    thresholds = (0.8, 0.4, 0.2, 0.1, 0.05)
    return [
        SenCache(x, by_latents, by_time, first=min(3, full.steps), longest=4)
        for x in thresholds
    ]


def bac_settings(full: FullRuns) -> list[StepCache]:
    """BAC settings with rising numbers of updates per branch."""
    similarity = full.similarity()
    counts = {max(1, round(x * full.steps)) for x in SHARES}
    return [similarity.cache(count) for count in sorted(counts - {full.steps})]


def profiling_settings(full: FullRuns) -> list[StepCache]:
    """ProfilingDiT settings with falling shares of background layers."""
    return [*LayerProfile.of(full.similarity()).settings()]


def harmonica_settings(full: FullRuns) -> list[StepCache]:
    """HarmoniCa settings: one trained router with falling thresholds, which compute a
    rising share of all branches."""
    scores = full.routes()
    rows = tuple(
        tuple(tuple(round(float(x), 4) for x in layer) for layer in step)
        for step in scores
    )
    thresholds = np.quantile(scores[1:], [1 - share for share in SHARES]).round(4)
    return [HarmoniCa(rows, float(x)) for x in dict.fromkeys(thresholds.tolist())]


PLAN = CacheMethod(
    lambda full: plans(full, False),
    VelocityRecorder,
    lambda runs, request, state: velocity_products(velocities_of(state))[0],
    fitted=True,
    velocities=True,
)
BRANCHES = CacheMethod(
    bac_settings,
    BranchRecorder,
    lambda runs, request, state: measured(state),
    fitted=True,
)
METHODS: Mapping[str, CacheMethod] = MappingProxyType(
    {
        "mag": CacheMethod(
            mag_settings,
            MagnitudeRecorder,
            lambda runs, request, state: ratios_of(state),
            fitted=True,
        ),
        "tea": CacheMethod(
            tea_settings,
            ChangeRecorder,
            lambda runs, request, state: changes_of(state),
            fitted=True,
        ),
        "planned": PLAN,
        "erta": replace(PLAN, settings=lambda full: plans(full, True)),
        "planned-tokens": CacheMethod(
            token_settings,
            PathRecorder,
            lambda *run: GroupedRun.grouped(*run).products,
            PROBED,
            fitted=True,
            velocities=True,
        ),
        "sen": CacheMethod(sen_settings, PathRecorder, probed=PROBED, fitted=True),
        "bac": BRANCHES,
        "profiling": replace(BRANCHES, settings=profiling_settings),
        "harmonica": CacheMethod(harmonica_settings, fitted=True, together=True),
        "sea": CacheMethod(
            lambda _: [SeaCache(x, longest=4) for x in (0.5, 0.25, 0.1, 0.05, 0.02)]
        ),
        "taylor": CacheMethod(
            lambda _: [TaylorSeer(n, first=3) for n in INTERVALS], velocities=True
        ),
        "hicache": CacheMethod(
            lambda _: [HiCache(n, first=3) for n in INTERVALS], velocities=True
        ),
        "foca": CacheMethod(lambda _: [FoCa(n) for n in INTERVALS], velocities=True),
        "spectrum": CacheMethod(
            lambda _: [Spectrum(growth=x) for x in GROWTHS], velocities=True
        ),
        "racer": CacheMethod(
            lambda _: [RACER(growth=x) for x in GROWTHS], velocities=True
        ),
        "easy": CacheMethod(
            lambda _: [EasyCache(x, first=3) for x in (0.2, 0.1, 0.05, 0.025)],
            velocities=True,
        ),
        "dicache": CacheMethod(
            lambda _: [DiCache(x, retention=0.1) for x in (0.2, 0.1, 0.05, 0.02)]
        ),
        "first-block": CacheMethod(
            lambda _: [FirstBlock(x, first=4) for x in (0.24, 0.12, 0.06, 0.03)]
        ),
    }
)


def check_fit(name: str, model: VideoModel, request: Request) -> None:
    """Raises a ValueError for a method that cannot be fitted to runs of a request."""
    method = METHODS[name]
    check_length(request)
    if method.velocities and request.velocity_obstacle:
        raise ValueError(
            f"{request.velocity_obstacle}, so that velocities of earlier steps cannot "
            f"be used again, as {name} does: choose another method, such as mag or sea"
        )
    if method.together and isinstance(model, OffloadingModel):
        raise ValueError(
            f"{name} is fitted by a gradient through all steps, which needs both "
            "experts on the devices: load them with idle_expert='devices', or choose "
            "another method"
        )
