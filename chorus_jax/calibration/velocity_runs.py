"""Full runs that record the velocity of every step."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.denoise.state import RunState
from chorus_jax.families.forward import Forward, Held, Latents, evaluate
from chorus_jax.schedulers.flow import Schedule


def empty_record(latents: Latents, steps: int) -> Latents:
    """Zeros with room for the latents, or velocities, of all steps: [b steps ...] per
    stream."""
    return jax.tree.map(
        lambda x: jnp.zeros((len(x), steps, *x.shape[1:]), x.dtype), latents
    )


def recorded(record: Any, i: Int[Array, " b"], values: Any) -> Any:
    """The record with these values, [b ...] per array, at each request's step."""
    rows = jnp.arange(len(i))
    return jax.tree.map(lambda all, now: all.at[rows, i].set(now), record, values)


@dataclass(frozen=True)
class VelocityRecorder:
    """Computes every step and records its guided velocity.

    Attributes:
        steps: the number of steps of the run.
    """

    steps: int

    def init(self, forward: Forward) -> Latents:
        """Zeros with room for the velocities of all steps."""
        return empty_record(forward.latents, self.steps)

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: Latents,
    ) -> tuple[Latents, Held, Latents, Float[Array, " b"]]:
        """Computes the whole pass and records its velocity (see `StepCache.step`)."""
        velocity, held = evaluate(forward, held)
        return velocity, held, recorded(state, i, velocity), jnp.ones(i.shape)


def velocity_products(record: Latents) -> Float[np.ndarray, "b steps steps"]:
    """The inner products of the velocities of every two steps, per request."""
    arrays = [np.asarray(x, np.float32) for x in jax.tree.leaves(record)]
    flat = [x.reshape(*x.shape[:2], -1) for x in arrays]
    return sum((x @ x.transpose(0, 2, 1) for x in flat), np.zeros(()))


def velocities_of(state: RunState) -> Latents:
    """The velocities that a run of `VelocityRecorder` recorded, over all experts."""
    return jax.tree.map(lambda *records: sum(map(np.asarray, records)), *state.caches)
