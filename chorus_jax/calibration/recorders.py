"""Full runs that leave what step caches are fitted from.

A recorder is itself a step cache: it computes every step, and its state is the record.
So what is measured is the loop that is run, with any family.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents, evaluate
from chorus_jax.intra_request.changes import TINY
from chorus_jax.intra_request.grains import named_grain
from chorus_jax.nets.control import select, zeros
from chorus_jax.schedulers.flow import Schedule


class Magnitudes(NamedTuple):
    """The record of a run's residuals.

    Attributes:
        residual: that of the step before, a row per row of the pass.
        ratios: the mean over the tokens of the residual's magnitude over that of the
            step before, per row and step; 1 where there was none.
    """

    residual: Any
    ratios: Float[Array, "r steps"]


@dataclass(frozen=True)
class MagnitudeRecorder:
    """Computes every step and records the magnitude ratios of MagCache.

    Attributes:
        steps: those of the run.
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
        """The whole pass (see `StepCache.step`)."""
        here = forward.rows(i)
        computed = jnp.ones(here.shape, bool)
        velocity, held, residual = named_grain("residual").step(
            forward, held, computed, state.residual
        )
        ratio = jnp.where(here > 0, magnitude_ratio(residual, state.residual), 1.0)
        # The first step of an expert has none: its record begins with zeros.
        ratio = jnp.where(jnp.isfinite(ratio) & (ratio < 1 / TINY), ratio, 1.0)
        ratios = state.ratios.at[jnp.arange(len(here)), here].set(ratio)
        return velocity, held, Magnitudes(residual, ratios), jnp.ones(i.shape)


@dataclass(frozen=True)
class VelocityRecorder:
    """Computes every step and records its guided velocity.

    Attributes:
        steps: those of the run.
    """

    steps: int

    def init(self, forward: Forward) -> Latents:
        """Room for the velocities of all steps, in zeros."""
        b = len(jax.tree.leaves(forward.latents)[0])
        return jax.tree.map(
            lambda x: jnp.zeros((b, self.steps, *x.shape[1:]), x.dtype),
            forward.latents,
        )

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: Latents,
    ) -> tuple[Latents, Held, Latents, Float[Array, " b"]]:
        """The whole pass (see `StepCache.step`)."""
        velocity, held = evaluate(forward, held)
        rows = jnp.arange(len(i))
        put = lambda all, now: all.at[rows, i].set(now)
        return velocity, held, jax.tree.map(put, state, velocity), jnp.ones(i.shape)


@dataclass(frozen=True)
class HeldOnce:
    """Takes over the last velocity in one step of each request.

    Attributes:
        steps: that of each request of the batch, 1 or more.
    """

    steps: tuple[int, ...]

    def init(self, forward: Forward) -> Latents:
        """Room for the velocity of the step before."""
        return jax.tree.map(jnp.zeros_like, forward.latents)

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: Latents,
    ) -> tuple[Latents, Held, Latents, Float[Array, " b"]]:
        """The whole pass, or the last velocity (see `StepCache.step`)."""
        velocity, held = evaluate(forward, held)
        velocity = select(i != jnp.array(self.steps), velocity, state)
        return velocity, held, velocity, jnp.ones(i.shape)


def velocity_products(record: Latents) -> Float[np.ndarray, "b steps steps"]:
    """The inner products of each two steps' velocities, of each request."""
    arrays = [np.asarray(x, np.float32) for x in jax.tree.leaves(record)]
    flat = [x.reshape(*x.shape[:2], -1) for x in arrays]
    return sum((x @ x.transpose(0, 2, 1) for x in flat), np.zeros(()))


def magnitude_ratio(new: Any, old: Any) -> Float[Array, " r"]:
    """The mean over the tokens of their magnitudes' ratio, per row."""
    size = lambda x: jnp.linalg.norm(x.astype(jnp.float32), axis=-1)
    pairs = zip(jax.tree.leaves(new), jax.tree.leaves(old))
    ratios = [size(x) / size(y) for x, y in pairs]
    tokens = jnp.concatenate([x.reshape(len(x), -1) for x in ratios], axis=1)
    return tokens.mean(axis=1)
