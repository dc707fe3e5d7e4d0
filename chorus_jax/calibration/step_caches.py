"""Chooses the setting of a step cache that computes least within a given fidelity.

Each prompt is made in full, which also gives what the method is fitted from, and then
with one setting after another, the boldest first. The first whose videos are near
enough to the full ones is taken; where none is, nothing is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from tqdm import tqdm

from chorus_jax.calibration.fidelity import fidelity
from chorus_jax.calibration.recorders import MagnitudeRecorder
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import RunState
from chorus_jax.engine import Pipeline
from chorus_jax.intra_request import StepCache
from chorus_jax.intra_request.dicache import DiCache
from chorus_jax.intra_request.easy import EasyCache
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.intra_request.foca import FoCa
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.mag import MagCache
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.request import Request

Ratios = Float[np.ndarray, " steps"]
INTERVALS = (6, 5, 4, 3, 2)
LEAST_PROMPTS = 4


@dataclass(frozen=True)
class Recorded:
    """Measurements of full runs for the fit of a step cache.

    Attributes:
        ratios: MagCache's magnitude ratios, the mean over prompts.
        switch: the first step of a second expert; 0 with one transformer.
        shift: of the schedule.
    """

    ratios: tuple[float, ...]
    switch: int
    shift: float


def mag_ladder(recorded: Recorded) -> list[StepCache]:
    """MagCache with these ratios, from bold to careful."""
    settings = ((0.24, 6), (0.12, 4), (0.12, 2), (0.06, 2), (0.03, 1), (0.01, 1))
    return [
        MagCache(
            threshold,
            recorded.ratios,
            longest,
            switch=recorded.switch,
            shift=recorded.shift,
        )
        for threshold, longest in settings
    ]


# Settings by method, from bold to careful.
LADDERS: dict[str, Callable[[Recorded], list[StepCache]]] = {
    "mag": mag_ladder,
    "taylor": lambda _: [TaylorSeer(n, first=3) for n in INTERVALS],
    "hicache": lambda _: [HiCache(n, first=3) for n in INTERVALS],
    "foca": lambda _: [FoCa(n) for n in INTERVALS],
    "easy": lambda _: [EasyCache(x) for x in (0.2, 0.1, 0.05, 0.025)],
    "dicache": lambda _: [DiCache(x) for x in (0.2, 0.08, 0.04, 0.02)],
    "first-block": lambda _: [FirstBlock(x, first=4) for x in (0.24, 0.16, 0.08, 0.04)],
}


@dataclass(frozen=True)
class ChosenCache:
    """The setting that was chosen.

    Attributes:
        cache: the step cache.
        figures: `computed` (of the full steps), `psnr`, `ssim` and `prompts`.
    """

    cache: StepCache
    figures: dict[str, float]


@dataclass(eq=False)
class CacheCalibration:
    """Runs of one model on prompts.

    Attributes:
        pipeline: of the model.
        requests: with seeds, of one size and schedule.
        full: the frames of each request's full run, once it was made.
    """

    pipeline: Pipeline
    requests: Sequence[Request]
    full: list[UInt8[np.ndarray, "f y x 3"]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.requests) < LEAST_PROMPTS:
            raise ValueError(
                f"a step cache is measured on {LEAST_PROMPTS} different prompts or "
                f"more, 20 to 50 are good; got {len(self.requests)}"
            )

    def choose(self, method: str, least_psnr: float, least_ssim: float) -> ChosenCache:
        """The boldest setting of a method that is near enough to full runs.

        Raises:
            ValueError: for a method that is not measured, or if no setting is near
                enough, with the figures of the best one.
        """
        if method not in LADDERS:
            raise ValueError(
                f"no settings of {method!r} are measured: choose one of "
                f"{', '.join(LADDERS)}"
            )
        best: ChosenCache | None = None
        for cache in LADDERS[method](self.record()):
            tried = self.measured(cache)
            if best is None or tried.figures["psnr"] > best.figures["psnr"]:
                best = tried
            figures = tried.figures
            if figures["psnr"] >= least_psnr and figures["ssim"] >= least_ssim:
                return tried
        assert best is not None
        raise ValueError(
            f"no setting of {method} is within {least_psnr:g} dB PSNR and "
            f"{least_ssim:g} SSIM of full runs: the best has "
            f"{best.figures['psnr']:.1f} dB and {best.figures['ssim']:.3f}; nothing is "
            "written"
        )

    def record(self) -> Recorded:
        """Measures full runs and keeps their frames."""
        recorder = MagnitudeRecorder(self.requests[0].step_count)
        found = []
        for request in tqdm(self.requests, desc="full runs", unit="video"):
            state, frames = self.run(request, recorder)
            self.full.append(frames)
            found.append(ratios_of(state))
        experts = self.pipeline.model.experts(self.requests[0])
        switch = next((i for i, x in enumerate(experts) if x != experts[0]), 0)
        ratios = tuple(round(float(x), 5) for x in np.mean(found, axis=0))
        return Recorded(ratios, switch, self.requests[0].shift)

    def measured(self, cache: StepCache) -> ChosenCache:
        """The figures of a setting, the mean over the requests."""
        scores, work = [], []
        for request, full in zip(self.requests, self.full):
            state, frames = self.run(request, cache)
            scores.append(fidelity(frames, full))
            work.append(float(state.work[0]) / request.step_count)
        means = {
            name: float(np.mean([x[name] for x in scores])) for name in ("psnr", "ssim")
        }
        figures = {"computed": float(np.mean(work)), **means}
        return ChosenCache(cache, {**figures, "prompts": len(self.requests)})

    def run(self, request: Request, cache: StepCache) -> tuple[RunState, Any]:
        """The last state of a run, and its frames."""
        pipeline = self.pipeline
        with pipeline.computing():
            conditions, _ = pipeline.condition([request])
            plan = StepPlan.plain(request.step_count, cache=cache)
            program = pipeline.program(request, plan)
            noise = pipeline.beginning([request], program, conditions)
            inputs = pipeline.inputs(conditions)
            state = finished(pipeline.denoise(program, inputs, noise, None))
            frames = finished(pipeline.decode(state.latents, [request], {}))
        return state, frames[0]


def finished(run: Any) -> Any:
    """The return value of a generator."""
    while True:
        try:
            next(run)
        except StopIteration as stop:
            return stop.value


def ratios_of(state: RunState) -> Ratios:
    """The magnitude ratios of a run's only request, in the prompt's branch.

    Each expert has a record, 1 at the steps of the other.
    """
    records = [np.asarray(record.ratios)[0] for record in state.caches]
    return np.prod(records, axis=0)
