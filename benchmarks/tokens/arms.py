"""Runs with token budgets, and the runs that they are compared with."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np

from benchmarks.caches.foreseen import Foreseen, embedding_changes
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import RunState
from chorus_jax.engine import Pipeline
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.media.video import to_uint8
from chorus_jax.request import Request
from chorus_jax.token_budgets.presets import PRESETS

FORECASTS = {
    "spectrum": Spectrum(window=1.0, growth=0.0),
    "taylor": TaylorSeer(interval=1),
    "hicache": HiCache(interval=1),
}


@dataclass(frozen=True, eq=False)
class TokenArm:
    """One way to run requests: with token budgets, fewer steps, or a step cache.

    Attributes:
        pipeline: the model's pipeline.
        requests: requests of one size and schedule.
        cache: the step cache.
    """

    pipeline: Pipeline
    requests: tuple[Request, ...]
    cache: StepCache = EveryStep()

    def __post_init__(self) -> None:
        conditions, _ = self.pipeline.condition(self.requests)
        object.__setattr__(self, "conditions", conditions)

    def __call__(self) -> RunState:
        """Runs the requests; returns the loop's last state."""
        first, conditions = self.requests[0], getattr(self, "conditions")
        plan = StepPlan.plain(
            first.step_count, cache=self.cache, budgets=first.token_budgets
        )
        program = self.pipeline.program(first, plan)
        inputs = self.pipeline.inputs(conditions)
        noise = self.pipeline.noise(self.requests, program.geometry, conditions)
        state = loop.start(inputs, noise, program=program)
        *_, (_, state) = self.pipeline.advanced(program, inputs, state, every=None)
        return jax.block_until_ready(state)

    def frames(self, state: RunState) -> list[np.ndarray]:
        """Decodes the latents of a run's last state into 8-bit videos."""
        groups = self.pipeline.model.decode(state.latents, self.requests)
        made = np.concatenate([np.asarray(group) for group in groups], axis=1)
        return [to_uint8(video) for video in made]


def arms(pipeline: Pipeline, requests: Sequence[Request]) -> dict[str, TokenArm]:
    """The arms by name: the full run, and each preset with baselines of equal work."""
    every, steps = tuple(requests), requests[0].step_count
    made = {"full": TokenArm(pipeline, every)}
    foreseen = Foreseen(embedding_changes(pipeline, every[0]))
    for name, preset in PRESETS.items():
        given = tuple(x.changed(tokens=name) for x in every)
        share, count = name.removeprefix("hsa-"), round(preset.work * steps)
        made[name] = TokenArm(pipeline, given)
        fewer = tuple(x.changed(steps=count) for x in every)
        made[f"fewer-{share}"] = TokenArm(pipeline, fewer)
        made[f"tea-{share}"] = TokenArm(pipeline, every, foreseen.tea(count))
        # These caches skip no step: they forecast the tokens that are not run.
        for method, cache in FORECASTS.items():
            made[f"{name} {method}"] = TokenArm(pipeline, given, cache)
        turns = replace(preset.budgets(steps), staggered=True)
        given = tuple(x.changed(tokens=turns) for x in every)
        made[f"{name} taylor, staggered"] = TokenArm(
            pipeline, given, FORECASTS["taylor"]
        )
    return made


def chosen_of(
    every: dict[str, TokenArm], wanted: Collection[str]
) -> dict[str, TokenArm]:
    """The arms whose names begin with one of `wanted` (empty for all), and `full`."""
    begins = ("full", *wanted) if wanted else ("",)
    return {name: arm for name, arm in every.items() if name.startswith(begins)}
