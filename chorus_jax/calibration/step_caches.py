"""Chooses the boldest setting of a step cache that keeps a given fidelity.

Each prompt is run in full, while a recorder collects the data that the method is fitted
to, and then with one setting after another, the boldest first. The first setting whose
videos are near enough to those of the full runs is chosen; it is an error if there is
none. A setting that was fitted is judged on prompts that it was not fitted to.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from chorus_jax.calibration.cache_methods import METHODS, check_fit
from chorus_jax.calibration.cache_runs import CacheRuns
from chorus_jax.calibration.fidelity import fidelity
from chorus_jax.calibration.full_runs import FullRuns
from chorus_jax.engine import Pipeline
from chorus_jax.engine.pipeline import NotFiniteError
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.intra_request.shifts import shift_of
from chorus_jax.request import Request

log = logging.getLogger(__name__)

LEAST_PROMPTS, FEW_PROMPTS = 4, 20


@dataclass(frozen=True)
class ChosenCache:
    """A setting of a step cache, and its measured figures.

    Attributes:
        cache: the step cache.
        figures: `computed` (share of the full steps), mean `psnr` (dB) and `ssim`, the
            number of `prompts` that it was judged on, and `fit_seconds` (the time to
            fit the method, beyond the full runs).
    """

    cache: StepCache
    figures: dict[str, float]


@dataclass(eq=False)
class CacheCalibration:
    """Measures settings of step caches for one model, on prompts.

    Attributes:
        pipeline: the model's pipeline.
        requests: requests with seeds, of one size and schedule.
        judged: the requests that settings are judged on, each with the frames of its
            full run; filled by `choose`.
    """

    pipeline: Pipeline
    requests: Sequence[Request]
    judged: list[tuple[Request, UInt8[np.ndarray, "f y x 3"]]] = field(
        default_factory=list
    )

    def __post_init__(self) -> None:
        check(self.requests)
        if len(self.requests) < FEW_PROMPTS:
            log.warning("%d prompts are few: 20 to 50 are good", len(self.requests))

    @property
    def runs(self) -> CacheRuns:
        """Makes the runs."""
        return CacheRuns(self.pipeline)

    def choose(self, method: str, least_psnr: float, least_ssim: float) -> ChosenCache:
        """The boldest setting of a method that is near enough to full runs.

        Raises:
            ValueError: for a method without settings to try, or one that cannot be
                fitted to these runs (see `check_fit`); or if no setting is near enough,
                with the figures of the best one.
        """
        check_method(method)
        check_fit(method, self.pipeline.model, self.requests[0])
        seen, unseen = parts(self.requests, METHODS[method].fitted)
        full = self.record(method, seen)
        self.run_judged(unseen)
        before = time.monotonic()
        settings = METHODS[method].settings(full)
        spent = time.monotonic() - before
        if not settings:
            raise ValueError(
                f"{method} has no setting for runs of {full.steps} steps: give more "
                "--steps, or choose another method"
            )
        best: ChosenCache | None = None
        for tried in self.trials(settings):
            figures = tried.figures
            if best is None or figures["psnr"] > best.figures["psnr"]:
                best = tried
            if figures["psnr"] >= least_psnr and figures["ssim"] >= least_ssim:
                return ChosenCache(tried.cache, {**figures, "fit_seconds": spent})
        if best is None:
            raise ValueError(
                f"no setting of {method} saves anything in runs of {full.steps} steps "
                "and gives finite numbers: give more --steps, or choose another method"
            )
        raise ValueError(
            f"no setting of {method} is within {least_psnr:g} dB PSNR and "
            f"{least_ssim:g} SSIM of full runs: the best has "
            f"{best.figures['psnr']:.1f} dB and {best.figures['ssim']:.3f}; nothing is "
            "written"
        )

    def trials(self, settings: Sequence[StepCache]) -> Iterator[ChosenCache]:
        """The figures of each setting, without those that save nothing, which would
        pass any gate, and those that give numbers which are not finite."""
        for cache in settings:
            try:
                tried = self.measured(cache)
            except NotFiniteError:
                log.warning("%s gave numbers that are not finite", cache)
                continue
            if tried.figures["computed"] < 1:
                yield tried

    def run_judged(self, requests: Sequence[Request]) -> None:
        """Makes the full runs that settings are judged by, and keeps their frames."""
        for request in tqdm(requests, desc="full runs", unit="video"):
            self.judged.append((request, self.runs.run(request, EveryStep())[1]))

    def record(
        self, method: str, requests: Sequence[Request] | None = None
    ) -> FullRuns:
        """Makes the full runs that a method's fit reads.

        Args:
            method: the name of the method.
            requests: the requests to run; None for all.
        """
        requests = self.requests if requests is None else requests
        first, ours = self.requests[0], METHODS[method]
        recorder, states, records = ours.recorder(first.step_count), [], []
        read = requests[: None if ours.record else ours.probed]
        for n, request in enumerate(tqdm(read, desc="full runs", unit="video")):
            state = jax.tree.map(np.asarray, self.runs.run(request, recorder)[0])
            if ours.record is not None:
                records.append(ours.record(self.runs, request, state))
            if n < ours.probed:
                states.append(state)
        experts = self.pipeline.model.experts(first)
        switch = next((i for i, x in enumerate(experts) if x != experts[0]), 0)
        schedule = self.pipeline.model.solver(first).schedule
        return FullRuns(
            *(records, states, first.step_count, switch),
            *(shift_of(schedule, first.shift), requests, self.runs),
        )

    def measured(self, cache: StepCache) -> ChosenCache:
        """Runs the judged requests with a setting; returns its mean figures."""
        scores, work = [], []
        for request, full in self.judged:
            state, frames = self.runs.run(request, cache)
            scores.append(fidelity(frames, full))
            work.append(float(state.work[0]) / request.step_count)
        means = {
            name: float(np.mean([x[name] for x in scores])) for name in ("psnr", "ssim")
        }
        figures = {"computed": float(np.mean(work)), **means}
        return ChosenCache(cache, {**figures, "prompts": len(self.judged)})


def parts(
    requests: Sequence[Request], fitted: bool
) -> tuple[Sequence[Request], Sequence[Request]]:
    """The requests that a method is fitted to, and those that it is judged on: every
    third one. A method that is not fitted is judged on all of them."""
    if not fitted:
        return (), requests
    others = requests[2::3]
    return [x for i, x in enumerate(requests) if i % 3 != 2], others


def check(requests: Sequence[Request]) -> None:
    """Raises a ValueError unless a step cache can be measured with these requests."""
    if len(requests) < LEAST_PROMPTS:
        raise ValueError(
            f"a step cache is measured on {LEAST_PROMPTS} different prompts or more, "
            f"20 to 50 are good; got {len(requests)}"
        )
    if requests[0].step_count < 2:
        raise ValueError("a run of one step has nothing to reuse: give more --steps")


def check_method(method: str) -> None:
    """Raises a ValueError for a method without settings to try."""
    if method not in METHODS:
        raise ValueError(
            f"no settings of {method!r} are measured: choose one of "
            f"{', '.join(METHODS)}"
        )
