"""Chooses the boldest setting of a step cache that keeps a given fidelity.

Each prompt is run in full, while a recorder collects the data that the method is fitted
to, and then with one setting after another, the boldest first. The first setting whose
videos are near enough to those of the full runs is chosen; it is an error if there is
none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from chorus_jax.calibration.cache_methods import METHODS, FullRuns
from chorus_jax.calibration.fidelity import fidelity
from chorus_jax.calibration.step_plans import (
    StepPlanner,
    growth_of,
    probed_steps,
    scaled_products,
)
from chorus_jax.calibration.velocity_runs import (
    HeldOnce,
    holding,
    velocities_of,
    velocity_products,
)
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import RunState
from chorus_jax.engine import Pipeline
from chorus_jax.intra_request import StepCache
from chorus_jax.request import Request

LEAST_PROMPTS = 4
PROBED = 2  # prompts for which errors in single steps are measured


@dataclass(frozen=True)
class ChosenCache:
    """A setting of a step cache, and its measured figures.

    Attributes:
        cache: the step cache.
        figures: `computed` (share of the full steps), mean `psnr` (dB) and `ssim`, and
            the number of `prompts`.
    """

    cache: StepCache
    figures: dict[str, float]


@dataclass(eq=False)
class CacheCalibration:
    """Measures settings of step caches for one model, on prompts.

    Attributes:
        pipeline: the model's pipeline.
        requests: requests with seeds, of one size and schedule.
        full: the frames of each request's full run, filled by `record`.
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
            ValueError: for a method without settings to try, or if no setting is near
                enough; the message has the figures of the best one.
        """
        if method not in METHODS:
            raise ValueError(
                f"no settings of {method!r} are measured: choose one of "
                f"{', '.join(METHODS)}"
            )
        best: ChosenCache | None = None
        for cache in METHODS[method].settings(self.record(method)):
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

    def record(self, method: str) -> FullRuns:
        """Makes the full runs that a method is fitted from, and keeps their frames."""
        first, states = self.requests[0], []
        recorder = METHODS[method].recorder(first.step_count)
        for request in tqdm(self.requests, desc="full runs", unit="video"):
            state, frames = self.run(request, recorder)
            self.full.append(frames)
            states.append(jax.tree.map(np.asarray, state))
        experts = self.pipeline.model.experts(first)
        switch = next((i for i, x in enumerate(experts) if x != experts[0]), 0)
        planner = lambda: self.planner(states, switch)
        return FullRuns(states, first.step_count, switch, first.shift, planner)

    def planner(self, states: Sequence[RunState], switch: int) -> StepPlanner:
        """A planner fitted to the velocities of full runs.

        The growth of errors in single steps is measured by further runs of the first
        prompts.

        Args:
            states: the last states of the full runs.
            switch: the first step of a second expert; 0 with one transformer.
        """
        sigmas = self.pipeline.model.solver(self.requests[0]).schedule.sigmas
        moves, begins = np.diff(sigmas), (0, *([switch] if switch else []))
        products = [velocity_products(velocities_of(x))[0] for x in states]
        probed = [x for x in probed_steps(len(moves)) if x not in begins]
        growths = []
        for request, state, own in zip(self.requests[:PROBED], states, products):
            errors = {step: self.error(request, state, step) for step in probed}
            growths.append(growth_of(own, moves, errors))
        growth = np.exp(np.log(growths).mean(axis=0))
        return StepPlanner(scaled_products(np.stack(products)), moves, growth, begins)

    def error(self, request: Request, full: RunState, step: int) -> float:
        """The squared error of final latents if one step reuses the last velocity."""
        begin = lambda state: holding(state, [step])
        state, _ = self.run(request, HeldOnce(), begin)
        off = jax.tree.map(jnp.subtract, state.latents, full.latents)
        return sum(float(jnp.square(x).sum()) for x in jax.tree.leaves(off))

    def measured(self, cache: StepCache) -> ChosenCache:
        """Runs all requests with a setting; returns its mean figures."""
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

    def run(
        self,
        request: Request,
        cache: StepCache,
        begin: Callable[[RunState], RunState] = lambda state: state,
    ) -> tuple[RunState, Any]:
        """Runs a request with a step cache; returns the last state and the frames.

        `begin` may change the loop's initial state before the run.
        """
        pipeline = self.pipeline
        with pipeline.computing():
            conditions, _ = pipeline.condition([request])
            plan = StepPlan.plain(request.step_count, cache=cache)
            program = pipeline.program(request, plan)
            noise = pipeline.beginning([request], program, conditions)
            seeds = pipeline.seeds([request], conditions)
            inputs = pipeline.inputs(conditions, seeds=seeds)
            state = begin(loop.start(inputs, noise, program=program))
            *_, (_, state) = pipeline.advanced(program, inputs, state, every=None)
            frames = finished(pipeline.decode(state.latents, [request], {}))
        return state, frames[0]


def finished(run: Any) -> Any:
    """Runs a generator to its end; returns its return value."""
    while True:
        try:
            next(run)
        except StopIteration as stop:
            return stop.value
