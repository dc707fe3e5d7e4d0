"""Measures the final error of a run in which one step has another velocity.

A probe repeats a full run from the end of one of its steps on, with the latents that
the other velocity would have given, and computes every later step.

A single step's error can be smaller than the rounding errors of the rest of a run. So a
probe enlarges the error that it makes, and the final error is scaled back. While errors
are small, they grow in proportion.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from chorus_jax.calibration.cache_runs import last_latents
from chorus_jax.calibration.recorded_run import RecordedRun
from chorus_jax.calibration.single_passes import shifted
from chorus_jax.denoise import loop
from chorus_jax.families.forward import Latents
from chorus_jax.intra_request.changes import TINY

FAR = 0.1  # the norm of a probed error, relative to that of the latents


@dataclass(frozen=True, eq=False)
class StepProbes:
    """Probes of the steps of a full run.

    Attributes:
        run: the run.
    """

    run: RecordedRun

    def error(self, step: int, move: float) -> float:
        """The squared error of the final latents if one step reuses the last velocity.

        Args:
            step: the step, at least 1.
            move: the change of the noise level in it.
        """
        scale, held = self.scale(step, move), self.run.at(step - 1).velocities
        with self.run.runs.pipeline.computing():
            want = self.finished(step, None, move)
            end = self.finished(step, jax.tree.map(jnp.asarray, held), scale * move)
        return squared(end, want) / scale**2

    def scale(self, step: int, move: float) -> float:
        """The factor that enlarges the error of reusing the last velocity to `FAR`."""
        own, before = self.run.at(step), self.run.at(step - 1)
        made = move**2 * squared(own.velocities, before.velocities)
        return FAR * (squared(own.latents) / max(made, TINY)) ** 0.5

    def finished(self, step: int, velocity: Latents | None, move: float) -> list[Array]:
        """The final latents if a step has this velocity; None leaves it unchanged.

        All later steps are computed, and the solver's history begins after the step.
        """
        program, inputs, _ = self.run.prepared
        own, last = self.run.at(step), step + 1 == self.run.steps
        # The final latents are not recorded; only differences are needed.
        after = jax.tree.map(
            jnp.asarray, own if last else self.run.at(step + 1)
        ).latents
        if velocity is not None:
            pair = (velocity, own.velocities)
            after = self.run.passes(step)(
                shifted, after, step, *pair, jnp.float32(move)
            )
        if last:
            return jax.tree.leaves(after)
        state = loop.start(inputs, after, program=program)
        state = state._replace(step=jnp.full_like(state.step, step + 1))
        pieces = self.run.runs.pipeline.advanced(program, inputs, state, every=None)
        *_, (_, state) = pieces
        return last_latents(state)


def squared(x: Any, y: Any = None) -> float:
    """The sum of the squares of all arrays of a pytree, or of its difference from
    another one."""
    pairs = zip(jax.tree.leaves(x), jax.tree.leaves(y) or jax.tree.leaves(x))
    arrays = [np.asarray(a) - (0 if y is None else np.asarray(b)) for a, b in pairs]
    return float(sum(np.square(array).sum() for array in arrays))
