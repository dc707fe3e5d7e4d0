"""Measures what is lost, step by step, where a group of tokens is not run.

A probe repeats a full run from one of its steps on. It runs only some tokens, or none,
in this step, and all tokens in every later step. Tokens that are not run keep the
velocity, keys and values of the step before, as they do in a plan. The differences of
the final errors between probes are what each group of tokens adds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from chorus_jax.calibration.cache_runs import last_latents
from chorus_jax.calibration.single_passes import (
    full_pass,
    part_pass,
    shifted,
    shortest,
)
from chorus_jax.calibration.step_plans import StepPlanner, growth_of, probed_steps
from chorus_jax.calibration.token_groups import GroupedRun
from chorus_jax.calibration.token_plans import TokenPlanner
from chorus_jax.denoise import loop
from chorus_jax.families.forward import Latents
from chorus_jax.intra_request.changes import TINY

PROBES = 6  # the number of steps in which errors are measured
FAR = 0.1  # the norm of a probed error, relative to that of the latents
LEAST = 0.01  # the least share of a probe's error that a group of tokens adds


@dataclass(frozen=True, eq=False)
class TokenProbes:
    """Probes of a full run.

    Attributes:
        run: the run.
    """

    run: GroupedRun

    def growths(
        self, moves: Float[np.ndarray, " steps"], steps: Sequence[int]
    ) -> Float[np.ndarray, "groups steps"]:
        """The growth of squared errors of each group until the end, by step.

        Args:
            moves: the change of the noise level in each step.
            steps: the steps that are probed.
        """
        errors = {step: self.errors(step, float(moves[step])) for step in steps}
        of = lambda group: {step: float(x[group]) for step, x in errors.items()}
        pairs = enumerate(self.run.products)
        return np.stack([growth_of(own, moves, of(group)) for group, own in pairs])

    def errors(self, step: int, move: float) -> Float[np.ndarray, " groups"]:
        """The squared error of the final latents that each group adds if it alone is
        not run in this step.

        A single step's error is smaller than the rounding errors of the rest of a run.
        So it is scaled up to `FAR` of the latents, and the final error scaled back.
        """
        scale = self.scale(step, move)
        with self.run.runs.pipeline.computing():
            want = self.finished(step, None, move)
            ends = [self.finished(step, x, scale * move) for x in self.probes(step)]
        off = np.array([squared(end, want) for end in ends]) / scale**2
        return np.maximum(off - np.array([*off[1:], 0.0]), LEAST * off)

    def scale(self, step: int, move: float) -> float:
        """The factor by which errors in a step are enlarged."""
        own, before = self.run.at(step), self.run.at(step - 1)
        off = move**2 * squared(own.velocities, before.velocities)
        return FAR * (squared(own.latents) / max(off, TINY)) ** 0.5

    def probes(self, step: int) -> list[Latents]:
        """The velocities of a step that runs no group of tokens, the first group, the
        first two, and so on up to all but the last."""
        before, now = self.run.at(step - 1), self.run.at(step)
        run = self.passes(step)
        _, keys = run(full_pass, before.latents, step - 1)
        held = jax.tree.map(jnp.asarray, before.velocities)
        some = lambda size: run(
            part_pass, now.latents, step, keys, held, self.run.order[None, :size]
        )
        return [held, *(some(size) for size in self.run.sizes[:-1])]

    def passes(self, step: int) -> Callable[..., Any]:
        """A function that runs a pass of `single_passes` with the expert of a step."""
        program, inputs, _ = self.run.begun
        expert = self.run.experts[step]
        inputs = self.run.runs.with_expert(inputs, expert)

        def run(kind: Any, latents: Latents, i: int, *more: Any) -> Any:
            at = jnp.array([i], jnp.int32)
            return kind(inputs, latents, at, *more, program=program, expert=expert)

        return run

    def finished(self, step: int, velocity: Latents | None, move: float) -> list[Array]:
        """The final latents if a step has this velocity; None leaves it unchanged.

        All later steps are computed, and the solver's history begins after the step.
        """
        program, inputs, _ = self.run.begun
        own, last = self.run.at(step), step + 1 == len(self.run.tiles)
        # The final latents are not recorded; `errors` needs only differences.
        after = jax.tree.map(
            jnp.asarray, own if last else self.run.at(step + 1)
        ).latents
        if velocity is not None:
            both = (velocity, own.velocities)
            after = self.passes(step)(shifted, after, step, *both, jnp.float32(move))
        if last:
            return jax.tree.leaves(after)
        state = loop.start(inputs, after, program=program)
        state = state._replace(step=jnp.full_like(state.step, step + 1))
        pieces = self.run.runs.pipeline.advanced(program, inputs, state, every=None)
        *_, (_, state) = pieces
        return last_latents(state)

    def costs(self, step: int) -> list[float]:
        """The time of a pass of each share of the tokens, relative to a full pass."""
        before, now = self.run.at(step - 1), self.run.at(step)
        with self.run.runs.pipeline.computing():
            run = self.passes(step)
            velocity, keys = run(full_pass, before.latents, step - 1)
            every = shortest(lambda: run(full_pass, now.latents, step))
            given = (part_pass, now.latents, step, keys, velocity)
            some = [
                shortest(lambda: run(*given, self.run.order[None, :size]))
                for size in self.run.sizes[:-1]
            ]
        return [min(seconds / every, 1.0) for seconds in some] + [1.0]


def squared(x: Any, y: Any = None) -> float:
    """The sum of the squares of all arrays of a pytree, or of its difference from
    another one."""
    pairs = zip(jax.tree.leaves(x), jax.tree.leaves(y) or jax.tree.leaves(x))
    arrays = [np.asarray(a) - (0 if y is None else np.asarray(b)) for a, b in pairs]
    return float(sum(np.square(array).sum() for array in arrays))


def planner_of(
    full: Sequence[GroupedRun],
    moves: Float[np.ndarray, " steps"],
    begins: tuple[int, ...],
    count: int,
) -> TokenPlanner:
    """A planner of tokens, measured on runs of one size and schedule.

    Args:
        full: the runs.
        moves: the change of the noise level in each step.
        begins: steps that cannot use earlier velocities.
        count: the number of runs that are probed, from the first on.
    """
    first, steps = full[0], len(moves)
    products = np.stack([run.products for run in full])
    size = np.einsum("rgss->r", products) / steps
    products = (products / size[:, None, None, None]).mean(axis=0)
    energies = np.einsum("gss->g", products) / steps
    at = [
        x for x in probed_steps(steps, PROBES) if x >= first.early and x not in begins
    ]
    probed = [TokenProbes(run) for run in full[:count]]
    growths = [probes.growths(moves, at) for probes in probed]
    growth = np.exp(np.log(growths).mean(axis=0))
    groups = zip(products / energies[:, None, None], growth)
    return TokenPlanner(
        tuple(StepPlanner(own, moves, grown, begins) for own, grown in groups),
        tuple(map(float, energies)),
        first.shares,
        tuple(probed[0].costs(at[0])),
        first.early,
    )
