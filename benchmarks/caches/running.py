"""Runs a batch of prompts with a step cache, and scores the videos."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from benchmarks.caches.arms import FULL, CacheArm
from benchmarks.lib.judged import judge, with_errors
from benchmarks.reuse.arms import with_fewer
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import RunState
from chorus_jax.engine import Pipeline
from chorus_jax.media.metrics import psnr, ssim
from chorus_jax.media.video import to_uint8
from chorus_jax.request import Request
from chorus_jax.training.world.examples import ScenePrompt


@dataclass(frozen=True)
class CachedRun:
    """The result of running the batch.

    Attributes:
        state: the last state of the denoising loop.
        frames: the frames of each video, in 8 bits.
        seconds: the shortest time of the loop over all repeats; without repeats it
            includes compilation.
    """

    state: RunState
    frames: tuple[np.ndarray, ...]
    seconds: float

    @property
    def work(self) -> float:
        """The mean work per video, in full steps' worth."""
        return float(np.mean(self.state.work))


@dataclass(frozen=True, eq=False)
class CacheBench:
    """A pipeline and a batch of requests to run with step caches.

    Attributes:
        pipeline: the model's pipeline.
        request: the settings that all requests share.
        prompts: the prompts of the batch.
        seeds: the seed of each prompt.
    """

    pipeline: Pipeline
    request: Request
    prompts: Sequence[ScenePrompt]
    seeds: Sequence[int]

    def requests(self, arm: CacheArm = CacheArm("full")) -> list[Request]:
        """The requests of the batch with an arm's sampling settings."""
        base = with_fewer(self.request, arm.steps or self.request.step_count)
        base = base.changed(
            shift=arm.shift or base.shift,
            solver=arm.solver or base.solver,
            tokens=arm.tokens or base.tokens,
        )
        return [
            base.changed(prompt=prompt.caption, seed=seed)
            for seed, prompt in zip(self.seeds, self.prompts, strict=True)
        ]

    def run(
        self,
        arm: CacheArm,
        repeats: int = 0,
        begin: Callable[[RunState], RunState] = lambda state: state,
    ) -> CachedRun:
        """Runs the batch with an arm.

        Args:
            arm: steps, schedule and step cache.
            repeats: number of timed runs after the first one, which compiles.
            begin: changes the loop's initial state before the run.
        """
        pipeline, requests = self.pipeline, self.requests(arm)
        conditions, _ = pipeline.condition(requests)
        first = requests[0]
        plan = StepPlan.plain(
            first.step_count, cache=arm.cache, budgets=first.token_budgets
        )
        program = pipeline.program(first, plan)
        noise = pipeline.noise(requests, program.geometry, conditions)
        inputs, times = pipeline.inputs(conditions), []
        for _ in range(1 + repeats):
            state = begin(loop.start(inputs, noise, program=program))
            jax.block_until_ready(state)
            began = time.perf_counter()
            *_, (_, state) = pipeline.advanced(program, inputs, state, every=None)
            jax.block_until_ready(state.latents)
            times.append(time.perf_counter() - began)
        groups = [np.asarray(x) for x in pipeline.model.decode(state.latents, requests)]
        frames = tuple(to_uint8(x) for x in np.concatenate(groups, axis=1))
        return CachedRun(state, frames, min(times[1:] or times))

    def beside_full(self, arm: CacheArm, rounds: int = 3) -> dict[str, float]:
        """The seconds of an arm, and their share of a full run's: medians over rounds
        in which both run, one after the other."""
        arms = (arm, CacheArm(FULL))
        for one in arms:
            self.run(one)  # compiles
        pairs = [[self.run(x).seconds for x in arms] for _ in range(rounds)]
        return {
            "seconds": statistics.median(own for own, _ in pairs),
            "share": statistics.median(own / full for own, full in pairs),
        }

    def scores(self, run: CachedRun, full: CachedRun) -> dict[str, Any]:
        """Mean PSNR (dB, at most 60) and SSIM to the full run, and oracle scores.

        Each mean has its standard error over the prompts as `NAME_error`; `psnr_each`
        lists the PSNR of every prompt, so that methods can be compared in pairs.
        """
        judged = [judge(*pair) for pair in zip(self.prompts, run.frames)]
        names = ("accuracy", "detail", "render_db", "smoothness")
        scores = [
            {
                "psnr": min(psnr(ours, theirs), 60.0),
                "ssim": ssim(ours, theirs),
                **{name: scored[name] for name in names if name in scored},
            }
            for ours, theirs, scored in zip(run.frames, full.frames, judged)
        ]
        each = [round(score["psnr"], 2) for score in scores]
        return {**with_errors(scores), "psnr_each": each}
