"""Runs of one request with any step cache, for measuring step caches."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program, Run
from chorus_jax.denoise.state import Inputs, RunState
from chorus_jax.engine import Pipeline
from chorus_jax.families.protocols import OffloadingModel
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.request import Request


@dataclass(frozen=True, eq=False)
class CacheRuns:
    """Runs requests on a pipeline.

    Attributes:
        pipeline: the model's pipeline.
    """

    pipeline: Pipeline

    def run(self, request: Request, cache: StepCache) -> tuple[RunState, Any]:
        """Runs a request with a step cache; returns the last state and the frames."""
        with self.pipeline.computing():
            program, inputs, state = self.prepared(request, cache)
            pieces = self.pipeline.advanced(program, inputs, state, every=None)
            *_, (_, state) = pieces
            frames = finished(self.pipeline.decode(state.latents, [request], {}))
        return state, frames[0]

    def prepared(
        self, request: Request, cache: StepCache
    ) -> tuple[Program, Inputs, RunState]:
        """The program, the inputs and the initial state of a run of a request."""
        pipeline = self.pipeline
        conditions, _ = pipeline.condition([request])
        plan = StepPlan.plain(request.step_count, cache=cache)
        program = pipeline.program(request, plan)
        noise = pipeline.beginning([request], program, conditions)
        seeds = pipeline.seeds([request], conditions)
        inputs = pipeline.inputs(conditions, seeds=seeds)
        return program, inputs, loop.start(inputs, noise, program=program)

    def with_expert(self, inputs: Inputs, expert: str) -> Inputs:
        """The inputs for single passes of a transformer.

        They hold this transformer on the devices; for a model that keeps its idle
        transformer in the host's memory, they hold no other one.
        """
        model = self.pipeline.model
        if not isinstance(model, OffloadingModel):
            return inputs
        return inputs._replace(models={expert: model.resident(expert)})

    def branch_names(self, request: Request) -> tuple[str, ...]:
        """The branches of the model's layers; () if they have none to reuse."""
        with self.pipeline.computing():
            program, inputs, state = self.prepared(request, EveryStep())
            expert = program.plan.stretches[0].expert
            at = jnp.zeros(1, jnp.int32)
            run = Run(program, self.with_expert(inputs, expert))
            return run.forward(expert, state.latents, at).branch_names


def finished(run: Any) -> Any:
    """Runs a generator to its end; returns its return value."""
    while True:
        try:
            next(run)
        except StopIteration as stop:
            return stop.value


def last_latents(state: RunState) -> list[jax.Array]:
    """The latents of a state, an array per stream."""
    return jax.tree.leaves(state.latents)
