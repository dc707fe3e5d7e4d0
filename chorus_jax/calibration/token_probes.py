"""Measures what is lost, step by step, where a group of tokens is not run.

A probe repeats a full run from one of its steps on. It runs only some tokens, or none,
in this step, and all tokens in every later step. Tokens that are not run keep the
velocity, keys and values of the step before, as they do in a plan. The differences of
the final errors between probes are what each group of tokens adds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from chorus_jax.calibration.single_passes import full_pass, part_pass, shortest
from chorus_jax.calibration.step_plans import StepPlanner, growth_of, probed_steps
from chorus_jax.calibration.step_probes import StepProbes, squared
from chorus_jax.calibration.token_groups import GroupedRun, Products
from chorus_jax.calibration.token_plans import TokenPlanner
from chorus_jax.families.forward import Latents

PROBES = 6  # the number of steps in which errors are measured
LEAST = 0.01  # the least share of a probe's error that a group of tokens adds


@dataclass(frozen=True, eq=False)
class TokenProbes(StepProbes):
    """Probes of the groups of tokens of a full run.

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

        The error is enlarged, and the final error scaled back (see `step_probes`). In
        some runs the error grows when a group is run beside old keys of the others.
        Such a group adds nothing, and the groups add up to the error of running none.
        """
        scale = self.scale(step, move)
        with self.run.runs.pipeline.computing():
            want = self.finished(step, None, move)
            ends = [self.finished(step, x, scale * move) for x in self.probes(step)]
        off = np.array([squared(end, want) for end in ends]) / scale**2
        off = np.minimum.accumulate(off)
        return np.maximum(off - np.array([*off[1:], 0.0]), LEAST * off)

    def probes(self, step: int) -> list[Latents]:
        """The velocities of a step that runs no group of tokens, the first group, the
        first two, and so on up to all but the last."""
        before, now = self.run.at(step - 1), self.run.at(step)
        run = self.run.passes(step)
        _, keys = run(full_pass, before.latents, step - 1)
        held = jax.tree.map(jnp.asarray, before.velocities)
        some = lambda size: run(
            part_pass, now.latents, step, keys, held, self.run.order[None, :size]
        )
        return [held, *(some(size) for size in self.run.sizes[:-1])]

    def costs(self, step: int) -> list[float]:
        """The time of a pass of each share of the tokens, relative to a full pass."""
        before, now = self.run.at(step - 1), self.run.at(step)
        with self.run.runs.pipeline.computing():
            run = self.run.passes(step)
            velocity, keys = run(full_pass, before.latents, step - 1)
            every = shortest(lambda: run(full_pass, now.latents, step))
            given = (part_pass, now.latents, step, keys, velocity)
            some = [
                shortest(lambda: run(*given, self.run.order[None, :size]))
                for size in self.run.sizes[:-1]
            ]
        return [min(seconds / every, 1.0) for seconds in some] + [1.0]


def planner_of(
    probed: Sequence[GroupedRun],
    products: Sequence[Products],
    moves: Float[np.ndarray, " steps"],
    begins: tuple[int, ...],
) -> TokenPlanner:
    """A planner of tokens, measured on runs of one size and schedule.

    Args:
        probed: the runs of which further runs are made.
        products: the inner products of velocities of all runs (`GroupedRun.products`).
        moves: the change of the noise level in each step.
        begins: steps that cannot use earlier velocities.

    Raises:
        ValueError: for runs of so few steps that none can leave tokens out.
    """
    first, steps = probed[0], len(moves)
    every = np.stack(products)
    size = np.einsum("rgss->r", every) / steps
    mean = (every / size[:, None, None, None]).mean(axis=0)
    energies = np.einsum("gss->g", mean) / steps
    at = [
        x for x in probed_steps(steps, PROBES) if x >= first.early and x not in begins
    ]
    if not at:
        raise ValueError(
            f"no step of {steps} is left to plan: early steps and a transformer's "
            "first one run all tokens; give more --steps, or choose another method"
        )
    probes = [TokenProbes(run) for run in probed]
    growths = [own.growths(moves, at) for own in probes]
    growth = np.exp(np.log(growths).mean(axis=0))
    groups = zip(mean / energies[:, None, None], growth)
    return TokenPlanner(
        tuple(StepPlanner(own, moves, grown, begins) for own, grown in groups),
        tuple(map(float, energies)),
        first.shares,
        tuple(probes[0].costs(at[0])),
        first.early,
    )
