"""Full runs with their record, and the programs that continue them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from chorus_jax.calibration.cache_runs import CacheRuns
from chorus_jax.calibration.sensitivity import RunPath
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.state import Inputs, RunState
from chorus_jax.families.forward import Geometry, Latents
from chorus_jax.intra_request import EveryStep
from chorus_jax.request import Request


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """A full run of one request, with the latents and velocities of its steps.

    Attributes:
        runs: makes further runs.
        request: the request.
        path: the record of its full run.
    """

    runs: CacheRuns
    request: Request
    path: RunPath

    @property
    def geometry(self) -> Geometry:
        """The shapes of the request's latents."""
        return self.runs.pipeline.model.geometry(self.request)

    @cached_property
    def prepared(self) -> tuple[Program, Inputs, RunState]:
        """The program of a full run, its inputs and its first state."""
        return self.runs.prepared(self.request, EveryStep())

    @cached_property
    def experts(self) -> Sequence[str]:
        """The transformer of each step."""
        return self.runs.pipeline.model.experts(self.request)

    @property
    def steps(self) -> int:
        """The number of steps."""
        return self.request.step_count

    def at(self, step: int) -> RunPath:
        """The record of one step."""
        return jax.tree.map(lambda x: x[:, step], self.path)

    def passes(self, step: int) -> Callable[..., Any]:
        """A function that runs a pass of `single_passes` with the expert of a step."""
        program, inputs, _ = self.prepared
        expert = self.experts[step]
        inputs = self.runs.with_expert(inputs, expert)

        def run(kind: Any, latents: Latents, i: int, *more: Any) -> Any:
            at = jnp.array([i], jnp.int32)
            return kind(inputs, latents, at, *more, program=program, expert=expert)

        return run
