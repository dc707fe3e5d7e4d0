"""Fits TeaCache's polynomials, one per expert, to full runs."""

from collections.abc import Sequence
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

Polynomial = tuple[float, ...]  # coefficients, highest power first
Changes = tuple[Float[np.ndarray, "r steps 2"], ...]  # by expert


class ChangeRecord(NamedTuple):
    """The record of a run's changes, or of those in the steps of one expert.

    Attributes:
        signal: the embedding at the previous step.
        residual: the residual of all layers at the previous step.
        changes: the relative changes of embedding and residual, per row of the pass and
            per step: 0 at the steps of another expert, and of no meaning at the first
            step, which has none before it.
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
        now = jnp.stack(pair, axis=1)
        changes = state.changes.at[jnp.arange(len(here)), here].set(now)
        after = ChangeRecord(signal, residual, changes)
        return velocity, held, after, jnp.ones(i.shape)


def changes_of(state: RunState) -> Changes:
    """The changes that a run of `ChangeRecorder` recorded, by expert."""
    return tuple(np.asarray(record.changes) for record in state.caches)


def polynomials_of(runs: Sequence[Changes], switch: int = 0) -> tuple[Polynomial, ...]:
    """The polynomial of each expert that predicts changes of the residual from those of
    the signal.

    It is fitted to the expert's steps in all runs, except its first one.

    Args:
        runs: the changes of each run.
        switch: the first step of a second expert; 0 with one transformer.
    """
    steps = runs[0][0].shape[1]
    ranges = [(0, switch), (switch, steps)] if switch else [(0, steps)]
    changes = [
        [run[expert][:, first + 1 : last] for run in runs]
        for expert, (first, last) in enumerate(ranges)
    ]
    return tuple(polynomial(np.concatenate(own)) for own in changes)


def polynomial(changes: Float[np.ndarray, "r steps 2"]) -> Polynomial:
    """The polynomial fitted to the changes of signal and residual.

    Its degree is lower for few steps, whose signal takes few values. An expert of one
    step, which is always computed, has no change to fit: its polynomial is 0.
    """
    count = changes.shape[1]
    if count == 0:
        return (0.0,)
    x, y = changes.reshape(-1, 2).T
    fitted = np.polyfit(x, y, min(DEGREE, count - 1))
    return tuple(float(f"{value:.9g}") for value in fitted)
