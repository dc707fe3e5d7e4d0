"""Full runs of all prompts, and what further runs measure on top of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from chorus_jax.calibration.branch_fit import BranchSimilarity
from chorus_jax.calibration.cache_runs import CacheRuns
from chorus_jax.calibration.recorded_run import RecordedRun
from chorus_jax.calibration.router import Scores, trained
from chorus_jax.calibration.sensitivity import PathRecorder, path_of, sensitivities
from chorus_jax.calibration.single_passes import velocity_at
from chorus_jax.calibration.step_plans import (
    Growth,
    Products,
    StepPlanner,
    growth_of,
    probed_steps,
    scaled_products,
)
from chorus_jax.calibration.step_probes import StepProbes
from chorus_jax.calibration.token_groups import GroupedRun
from chorus_jax.calibration.token_plans import TokenPlanner
from chorus_jax.calibration.token_probes import planner_of
from chorus_jax.denoise.state import RunState
from chorus_jax.request import Request

PROBED = 2  # the number of prompts of which further runs are made
ROUTED = 8  # the number of prompts that a router is trained on


@dataclass(frozen=True, eq=False)
class FullRuns:
    """The full runs of all prompts.

    A run's record can be many times as large as what the fit needs of it, so each run
    is reduced once it is done.

    Attributes:
        records: what the method's fit needs of each run (`CacheMethod.record`).
        states: the last states of the first `PROBED` runs; their caches are the
            recorder's records.
        steps: the number of steps of a run.
        switch: the first step of a second expert; 0 with one transformer.
        shift: the shift of the schedule.
        requests: the requests of the runs.
        runs: makes further runs.
    """

    records: Sequence[Any]
    states: Sequence[RunState]
    steps: int
    switch: int
    shift: float
    requests: Sequence[Request]
    runs: CacheRuns

    @property
    def moves(self) -> Float[np.ndarray, " steps"]:
        """The change of the noise level in each step."""
        solver = self.runs.pipeline.model.solver(self.requests[0])
        return np.diff(solver.schedule.sigmas)

    @property
    def begins(self) -> tuple[int, ...]:
        """Steps that cannot use earlier velocities (see `StepPlanner`)."""
        return (0, self.switch) if self.switch else (0,)

    def planner(self) -> StepPlanner:
        """A planner fitted to the velocities of runs of `VelocityRecorder`.

        The growth of errors in single steps is measured by further runs of the first
        prompts.
        """
        moves, begins = self.moves, self.begins
        products = self.records
        growths = [
            self.growth(request, own)
            for request, own in zip(self.requests[:PROBED], products)
        ]
        growth = np.exp(np.log(growths).mean(axis=0))
        return StepPlanner(scaled_products(np.stack(products)), moves, growth, begins)

    def growth(self, request: Request, products: Products) -> Growth:
        """The growth of squared errors until the end of a run, by step.

        Args:
            request: the request of the run.
            products: inner products of the velocities of every two steps of the run.
        """
        state, _ = self.runs.run(request, PathRecorder(self.steps))
        probes = StepProbes(RecordedRun(self.runs, request, path_of(state)))
        probed = [x for x in probed_steps(self.steps) if x not in self.begins]
        errors = {step: probes.error(step, float(self.moves[step])) for step in probed}
        return growth_of(products, self.moves, errors)

    def token_planner(self) -> TokenPlanner:
        """A planner of the tokens of each step, from runs of `PathRecorder`.

        The errors that tokens add, and the time of their passes, are measured by
        further runs of the first prompts.
        """
        probed = [
            GroupedRun.grouped(self.runs, request, state)
            for request, state in zip(self.requests, self.states)
        ]
        return planner_of(probed, self.records, self.moves, self.begins)

    def similarity(self) -> BranchSimilarity:
        """Similarities between branch outputs, measured in runs of `BranchRecorder`."""
        names = self.runs.branch_names(self.requests[0])
        return BranchSimilarity.of(self.records, names, self.switch)

    def norms(self) -> Float[np.ndarray, "2 steps"]:
        """SenCache's norms by latents and by time at each step, in runs of
        `PathRecorder`; further passes are made for the first prompts."""
        measured = [
            self.sensitivities(request, state)
            for request, state in zip(self.requests, self.states)
        ]
        return np.mean(measured, axis=0)

    def sensitivities(
        self, request: Request, state: RunState
    ) -> Float[np.ndarray, "2 steps"]:
        """The norms of `norms`, measured on one run."""
        run = RecordedRun(self.runs, request, path_of(state))
        with self.runs.pipeline.computing():
            timesteps = run.prepared[0].solver.schedule.timesteps
            velocity = lambda latents, i: run.passes(i)(velocity_at, latents, i)
            return sensitivities(state, velocity, tuple(timesteps), self.switch)

    def routes(self) -> Scores:
        """The scores of a router that is trained on the first prompts."""
        return trained(self.runs, self.requests[:ROUTED])
