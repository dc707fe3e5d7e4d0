"""Fits TeaCache's coefficients to full runs."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.denoise.state import RunState
from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.changes import relative
from chorus_jax.intra_request.grains import named_grain
from chorus_jax.nets.control import zeros
from chorus_jax.schedulers.flow import Schedule

DEGREE = 4  # as TeaCache's authors chose


class ChangeRecord(NamedTuple):
    """The record of a run's changes.

    Attributes:
        signal: the embedding at the previous step.
        residual: the residual of all layers at the previous step.
        changes: the relative changes of embedding and residual, per row of the pass and
            per step; 0 at the first step.
    """

    signal: Array
    residual: Any
    changes: Float[Array, "r steps 2"]


@dataclass(frozen=True)
class ChangeRecorder:
    """Computes every step and records changes of TeaCache's signal and of the residual.

    TeaCache predicts the change of the residual from that of the signal.

    Attributes:
        steps: the number of steps of the run.
        signal: the name of the embedding that is observed (`Forward.signal`).
    """

    steps: int
    signal: str = "embedding"

    def init(self, forward: Forward) -> ChangeRecord:
        """The record before the first step."""
        residual = zeros(named_grain("residual").shapes(forward))
        signal = jnp.zeros_like(forward.signal(self.signal))
        return ChangeRecord(signal, residual, jnp.zeros((len(signal), self.steps, 2)))

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: ChangeRecord,
    ) -> tuple[Latents, Held, ChangeRecord, Float[Array, " b"]]:
        """Computes the whole pass and records its changes (see `StepCache.step`)."""
        here, signal = forward.rows(i), forward.signal(self.signal)
        velocity, held, residual = named_grain("residual").step(
            forward, held, jnp.ones(here.shape, bool), state.residual
        )
        pair = (relative(signal, state.signal), relative(residual, state.residual))
        now = jnp.where(here[:, None] > 0, jnp.stack(pair, axis=1), 0.0)
        changes = state.changes.at[jnp.arange(len(here)), here].set(now)
        after = ChangeRecord(signal, residual, changes)
        return velocity, held, after, jnp.ones(i.shape)


def coefficients_of(states: list[RunState]) -> tuple[float, ...]:
    """The polynomial that predicts changes of the residual from those of the signal.

    It is fitted to all runs; the highest power comes first.

    Raises:
        ValueError: for a model with two experts, which would need two polynomials.
    """
    if len(states[0].caches) > 1:
        raise ValueError(
            "TeaCache has one polynomial, a model with two experts needs two: choose "
            "another method, such as mag or planned"
        )
    changes = [np.asarray(state.caches[0].changes)[:, 1:] for state in states]
    x, y = np.concatenate(changes).reshape(-1, 2).T
    return tuple(float(f"{value:.9g}") for value in np.polyfit(x, y, DEGREE))
