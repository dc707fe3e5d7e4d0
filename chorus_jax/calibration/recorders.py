"""Recorders: observe full runs for data that step caches are fitted to.

A recorder is itself a step cache: it computes every step, and its state is the record.
So it observes the same loop that serves requests, and works with any family.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.changes import TINY
from chorus_jax.intra_request.grains import named_grain
from chorus_jax.nets.control import zeros
from chorus_jax.schedulers.flow import Schedule


class Magnitudes(NamedTuple):
    """The record of a run's residuals.

    Attributes:
        residual: the previous step's residual, for each row of the pass.
        ratios: the residual's magnitude divided by the previous step's, averaged over
            tokens, per row and step; 1 if there is no previous step.
    """

    residual: Any
    ratios: Float[Array, "r steps"]


@dataclass(frozen=True)
class MagnitudeRecorder:
    """Computes every step and records the magnitude ratios of MagCache.

    Attributes:
        steps: the run's number of steps.
    """

    steps: int

    def init(self, forward: Forward) -> Magnitudes:
        """The record before the first step."""
        residual = zeros(named_grain("residual").shapes(forward))
        rows = len(jax.tree.leaves(residual)[0])
        return Magnitudes(residual, jnp.ones((rows, self.steps)))

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: Magnitudes,
    ) -> tuple[Latents, Held, Magnitudes, Float[Array, " b"]]:
        """Computes the whole pass and records its ratios (see `StepCache.step`)."""
        here = forward.rows(i)
        computed = jnp.ones(here.shape, bool)
        velocity, held, residual = named_grain("residual").step(
            forward, held, computed, state.residual
        )
        ratio = jnp.where(here > 0, magnitude_ratio(residual, state.residual), 1.0)
        # The first step of an expert has no ratio: its previous residual is zeros.
        ratio = jnp.where(jnp.isfinite(ratio) & (ratio < 1 / TINY), ratio, 1.0)
        ratios = state.ratios.at[jnp.arange(len(here)), here].set(ratio)
        return velocity, held, Magnitudes(residual, ratios), jnp.ones(i.shape)


def magnitude_ratio(new: Any, old: Any) -> Float[Array, " r"]:
    """The ratio of new to old magnitude, averaged over tokens, per row."""
    size = lambda x: jnp.linalg.norm(x.astype(jnp.float32), axis=-1)
    pairs = zip(jax.tree.leaves(new), jax.tree.leaves(old))
    ratios = [size(x) / size(y) for x, y in pairs]
    tokens = jnp.concatenate([x.reshape(len(x), -1) for x in ratios], axis=1)
    return tokens.mean(axis=1)
