"""Measures how a model's velocity depends on its latents and on the timestep.

SenCache bounds the change of the output by the norms of its derivatives. They are
measured by two finite differences per step along the paths of full runs: from one step
to the next, first the timestep is changed at the latents of the first step, then the
latents are changed at the timestep of the second. This takes one more pass per step.
(The authors' measuring code was not read; the finite differences are ours.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.calibration.velocity_runs import empty_record, recorded
from chorus_jax.denoise.state import RunState
from chorus_jax.families.forward import Forward, Held, Latents, evaluate
from chorus_jax.intra_request.sen import moved
from chorus_jax.schedulers.flow import TRAIN_STEPS, Schedule

Numbers = tuple[float, ...]


class RunPath(NamedTuple):
    """The record of a run.

    Attributes:
        latents: the latents before each step, [b steps ...] per stream.
        velocities: the guided velocity of each step, in the same shapes.
    """

    latents: Latents
    velocities: Latents


@dataclass(frozen=True)
class PathRecorder:
    """Computes every step and records its latents and its guided velocity.

    Attributes:
        steps: the number of steps of the run.
    """

    steps: int

    def init(self, forward: Forward) -> RunPath:
        """Zeros with room for all steps."""
        empty = empty_record(forward.latents, self.steps)
        return RunPath(empty, empty)

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: RunPath,
    ) -> tuple[Latents, Held, RunPath, Float[Array, " b"]]:
        """Computes the whole pass and records it (see `StepCache.step`)."""
        velocity, held = evaluate(forward, held)
        after = recorded(state, i, RunPath(forward.latents, velocity))
        return velocity, held, after, jnp.ones(i.shape)


def path_of(state: RunState) -> RunPath:
    """The record of a run of `PathRecorder`, over all experts."""
    return jax.tree.map(lambda *x: sum(map(np.asarray, x)), *state.caches)


def sensitivities(
    state: RunState,
    velocity: Callable[[Latents, int], Latents],
    timesteps: Numbers,
    switch: int = 0,
) -> Float[np.ndarray, "2 steps"]:
    """The norms by latents and by time at each step of a run of `PathRecorder`.

    Steps whose next one is of another expert, and the last step, have the norms of the
    step before; a step whose next one has the same timestep has its norm by time.

    Args:
        state: the last state of the run, of one request.
        velocity: the guided velocity of latents at a step.
        timesteps: the timestep of each step, 0 to 1000.
        switch: the first step of a second expert; 0 with one transformer.
    """
    path = path_of(state)
    at = lambda arrays, i: jax.tree.map(lambda x: x[:, i], arrays)
    norms = np.zeros((2, len(timesteps)))
    for i in range(len(timesteps)):
        if i + 1 in (switch, len(timesteps)):
            norms[:, i] = norms[:, max(i - 1, 0)]
            continue
        later = abs(timesteps[i + 1] - timesteps[i]) / TRAIN_STEPS
        before, after = at(path.latents, i), at(path.latents, i + 1)
        between = velocity(before, i + 1)
        far = float(moved(after, before)[0])
        norms[0, i] = float(moved(at(path.velocities, i + 1), between)[0]) / far
        if later:
            norms[1, i] = float(moved(between, at(path.velocities, i))[0]) / later
        else:
            norms[1, i] = norms[1, max(i - 1, 0)]
    return norms
