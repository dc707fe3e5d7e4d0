"""Runs one batch of prompts with a step cache, and scores the videos."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from benchmarks.lib.judged import judge, means
from benchmarks.reuse.arms import with_fewer
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import RunState
from chorus_jax.engine import Pipeline
from chorus_jax.intra_request import StepCache
from chorus_jax.media.metrics import psnr, ssim
from chorus_jax.media.video import to_uint8
from chorus_jax.request import Request
from chorus_jax.training.world.examples import ScenePrompt


@dataclass(frozen=True)
class CachedRun:
    """A run of the batch.

    Attributes:
        state: the loop's last state.
        frames: the frames of each video, 8 bits.
        seconds: the time of the loop, the shortest of the repeats. Without repeats it
            includes compilation.
    """

    state: RunState
    frames: tuple[np.ndarray, ...]
    seconds: float

    @property
    def work(self) -> float:
        """The full steps' worth of work, the mean over the batch."""
        return float(np.mean(self.state.work))


@dataclass(frozen=True, eq=False)
class CacheBench:
    """A pipeline and a batch of requests.

    Attributes:
        pipeline: the model's pipeline.
        request: the request of all videos, but for prompt and seed.
        prompts: the batch's prompts; a video's seed is its prompt's number.
    """

    pipeline: Pipeline
    request: Request
    prompts: Sequence[ScenePrompt]

    def run(self, cache: StepCache, steps: int = 0, repeats: int = 0) -> CachedRun:
        """Runs the batch with a step cache.

        Args:
            cache: the step cache of all steps.
            steps: the schedule's number of steps; 0 for the request's.
            repeats: number of timed runs after the first one, which compiles.
        """
        pipeline = self.pipeline
        base = with_fewer(self.request, steps or self.request.step_count)
        requests = [
            base.changed(prompt=prompt.caption, seed=seed)
            for seed, prompt in enumerate(self.prompts)
        ]
        conditions, _ = pipeline.condition(requests)
        plan = StepPlan.plain(base.step_count, cache=cache)
        program = pipeline.program(base, plan)
        noise = pipeline.noise(requests, program.geometry, conditions)
        inputs, times = pipeline.inputs(conditions), []
        for _ in range(1 + repeats):
            state = loop.start(inputs, noise, program=program)
            jax.block_until_ready(state)
            began = time.perf_counter()
            *_, (_, state) = loop.in_pieces(inputs, state, program, every=None)
            jax.block_until_ready(state.latents)
            times.append(time.perf_counter() - began)
        groups = [np.asarray(x) for x in pipeline.model.decode(state.latents, requests)]
        frames = tuple(to_uint8(x) for x in np.concatenate(groups, axis=1))
        return CachedRun(state, frames, min(times[1:] or times))

    def scores(self, run: CachedRun, full: CachedRun) -> dict[str, Any]:
        """Fidelity to the full run (PSNR at most 60 dB), and the oracle's figures."""
        judged = [judge(*pair) for pair in zip(self.prompts, run.frames)]
        names = ("accuracy", "detail", "render_db", "smoothness")
        pairs = list(zip(run.frames, full.frames))
        scored = means(judged)
        return {
            "psnr": float(np.mean([min(psnr(*pair), 60.0) for pair in pairs])),
            "ssim": float(np.mean([ssim(*pair) for pair in pairs])),
            **{name: scored[name] for name in names if name in scored},
        }
