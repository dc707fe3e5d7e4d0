"""Full runs of all prompts, and what further runs measure on top of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from chorus_jax.calibration.branch_fit import BranchSimilarity
from chorus_jax.calibration.cache_runs import CacheRuns
from chorus_jax.calibration.router import Scores, trained
from chorus_jax.calibration.sensitivity import sensitivities, velocity_at
from chorus_jax.calibration.step_plans import (
    StepPlanner,
    growth_of,
    probed_steps,
    scaled_products,
)
from chorus_jax.calibration.token_groups import GroupedRun
from chorus_jax.calibration.token_plans import TokenPlanner
from chorus_jax.calibration.token_probes import planner_of
from chorus_jax.calibration.velocity_runs import (
    HeldOnce,
    holding,
    velocities_of,
    velocity_products,
)
from chorus_jax.denoise.state import RunState
from chorus_jax.families.forward import Latents
from chorus_jax.intra_request import EveryStep
from chorus_jax.request import Request

PROBED = 2  # the number of prompts of which further runs are made
ROUTED = 8  # the number of prompts that a router is trained on


@dataclass(frozen=True, eq=False)
class FullRuns:
    """The full runs of all prompts.

    Attributes:
        states: the last state of each run; its caches are the recorder's record.
        steps: the number of steps of a run.
        switch: the first step of a second expert; 0 with one transformer.
        shift: the shift of the schedule.
        requests: the requests of the runs.
        runs: makes further runs.
    """

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
        products = [velocity_products(velocities_of(x))[0] for x in self.states]
        probed = [x for x in probed_steps(len(moves)) if x not in begins]
        growths = []
        for request, state, own in zip(self.requests[:PROBED], self.states, products):
            errors = {step: self.error(request, state, step) for step in probed}
            growths.append(growth_of(own, moves, errors))
        growth = np.exp(np.log(growths).mean(axis=0))
        return StepPlanner(scaled_products(np.stack(products)), moves, growth, begins)

    def error(self, request: Request, full: RunState, step: int) -> float:
        """The squared error of final latents if one step reuses the last velocity."""
        begin = lambda state: holding(state, [step])
        state, _ = self.runs.run(request, HeldOnce(), begin)
        off = jax.tree.map(jnp.subtract, state.latents, full.latents)
        return sum(float(jnp.square(x).sum()) for x in jax.tree.leaves(off))

    def token_planner(self) -> TokenPlanner:
        """A planner of the tokens of each step, from runs of `PathRecorder`.

        The errors that tokens add, and the time of their passes, are measured by
        further runs of the first prompts.
        """
        full = [
            GroupedRun.of(self.runs, request, state)
            for request, state in zip(self.requests, self.states)
        ]
        return planner_of(full, self.moves, self.begins, PROBED)

    def similarity(self) -> BranchSimilarity:
        """Similarities between branch outputs, measured in runs of `BranchRecorder`."""
        names = self.runs.branch_names(self.requests[0])
        return BranchSimilarity.of(self.states, names, self.switch)

    def norms(self) -> Float[np.ndarray, "2 steps"]:
        """SenCache's norms by latents and by time at each step, in runs of
        `PathRecorder`; further passes are made for the first prompts."""
        measured = [
            self.sensitivities(request, state)
            for request, state in zip(self.requests[:PROBED], self.states)
        ]
        return np.mean(measured, axis=0)

    def sensitivities(
        self, request: Request, state: RunState
    ) -> Float[np.ndarray, "2 steps"]:
        """The norms of `norms`, measured on one run."""
        runs = self.runs
        with runs.pipeline.computing():
            program, inputs, _ = runs.prepared(request, EveryStep())
            experts = runs.pipeline.model.experts(request)
            timesteps = program.solver.schedule.timesteps

            def velocity(latents: Latents, i: int) -> Latents:
                at = partial(velocity_at, program=program, expert=experts[i])
                here = runs.with_expert(inputs, experts[i])
                return at(here, latents, jnp.array([i], jnp.int32))

            return sensitivities(state, velocity, tuple(timesteps), self.switch)

    def routes(self) -> Scores:
        """The scores of a router that is trained on the first prompts."""
        return trained(self.runs, self.requests[:ROUTED])
