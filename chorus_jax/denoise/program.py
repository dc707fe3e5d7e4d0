"""A denoising run inside a jitted call: its static part, and the arrays it reads."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Int

from chorus_jax.denoise import noise
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import Inputs
from chorus_jax.families.forward import (
    ALL,
    Forward,
    Geometry,
    Latents,
    TextGains,
    TokenSet,
)
from chorus_jax.intra_request import StepCache
from chorus_jax.schedulers import Solver


@dataclass(frozen=True)
class Program:
    """The static part of a run; the loop is compiled once for each.

    Attributes:
        plan: what runs in each step.
        solver: the solver, for as many steps as the plan.
        geometry: the shapes of latents and tokens.

    Raises:
        ValueError: if the plan is for another number of steps than the solver has, or
            its region has more tiles than the video.
    """

    plan: StepPlan
    solver: Solver
    geometry: Geometry

    def __post_init__(self) -> None:
        steps = self.solver.schedule.steps
        if self.plan.steps != steps:
            raise ValueError(
                f"the plan is for {self.plan.steps} steps, but the solver has {steps}: "
                "make both for the same steps"
            )
        if self.plan.region is not None:
            self.plan.region.check(self.geometry.tiling)


@dataclass(frozen=True, eq=False)
class Run:
    """A program together with its inputs, while a call is traced.

    Attributes:
        program: the static part: plan, solver and geometry.
        inputs: the arrays that the run reads.
    """

    program: Program
    inputs: Inputs

    @property
    def plan(self) -> StepPlan:
        """The steps of the run."""
        return self.program.plan

    @property
    def solver(self) -> Solver:
        """The solver of the run."""
        return self.program.solver

    @property
    def geometry(self) -> Geometry:
        """The shapes of the run's latents and tokens."""
        return self.program.geometry

    def forward(
        self,
        expert: str,
        latents: Latents,
        i: Int[Array, " b"],
        tokens: TokenSet = ALL,
    ) -> Forward:
        """The forward pass of the named transformer at step `i` of each request."""
        model, given = self.inputs.models[expert], self.inputs.conditions[expert]
        return model.forward(given, latents, i, self.gains(i), tokens)

    def noise(self, i: Int[Array, " b"]) -> Latents | None:
        """The noise that a stochastic solver adds in step `i` of each request; None for
        other solvers."""
        seeds = self.inputs.seeds
        if not self.solver.stochastic or seeds is None:
            return None
        return noise.of_step(seeds, i, self.geometry)

    def gains(self, i: Int[Array, " b"]) -> TextGains | None:
        """The text gains of step `i` of each request; None without amplification."""
        tables = self.inputs.gains
        if tables is None:
            return None
        rows = jnp.arange(len(i))
        return TextGains(tables.key[i, rows], tables.output[i, rows])


def slots(plan: StepPlan) -> tuple[tuple[StepCache, str], ...]:
    """The distinct pairs of step cache and transformer in a plan, one per cache state.

    Equal step caches share a state if they run with the same transformer; the shapes of
    a state depend on the transformer. Combined with token budgets, a step cache has a
    state only in plans with a region, for the step that shows the region.
    """
    pairs = (
        (stretch.cache, stretch.expert)
        for stretch in plan.stretches
        if stretch.budgets is None or plan.region is not None
    )
    return tuple(dict.fromkeys(pairs))
