"""Runs that say how velocities change over a run, and how errors in them grow."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.denoise.state import RunState
from chorus_jax.families.forward import Forward, Held, Latents, evaluate
from chorus_jax.nets.control import select
from chorus_jax.schedulers.flow import Schedule


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


def velocity_products(record: Latents) -> Float[np.ndarray, "b steps steps"]:
    """The inner products of each two steps' velocities, of each request."""
    arrays = [np.asarray(x, np.float32) for x in jax.tree.leaves(record)]
    flat = [x.reshape(*x.shape[:2], -1) for x in arrays]
    return sum((x @ x.transpose(0, 2, 1) for x in flat), np.zeros(()))


class HeldOnceState(NamedTuple):
    """State of `HeldOnce`.

    Attributes:
        velocity: that of the step before.
        at: the step of each request whose velocity is not computed; 0 for none.
    """

    velocity: Latents
    at: Int[Array, " b"]


@dataclass(frozen=True)
class HeldOnce:
    """Takes over the last velocity in one step of each request (see `holding`)."""

    def init(self, forward: Forward) -> HeldOnceState:
        """The state before the first step; every step is computed."""
        velocity = jax.tree.map(jnp.zeros_like, forward.latents)
        count = len(jax.tree.leaves(velocity)[0])
        return HeldOnceState(velocity, jnp.zeros(count, jnp.int32))

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: HeldOnceState,
    ) -> tuple[Latents, Held, HeldOnceState, Float[Array, " b"]]:
        """The whole pass, or the last velocity (see `StepCache.step`)."""
        velocity, held = evaluate(forward, held)
        computed = (i != state.at) | (i == 0)
        velocity = select(computed, velocity, state.velocity)
        after = HeldOnceState(velocity, state.at)
        return velocity, held, after, jnp.ones(i.shape)


def holding(state: RunState, steps: Any) -> RunState:
    """The state before a run of `HeldOnce`, with the step of each request. The program
    is one whatever the steps."""
    caches = tuple(
        cache._replace(at=jnp.asarray(steps, jnp.int32)) for cache in state.caches
    )
    return state._replace(caches=caches)


def velocities_of(state: RunState) -> Latents:
    """The record of a run of `VelocityRecorder`; each expert has its own steps."""
    return jax.tree.map(lambda *records: sum(map(np.asarray, records)), *state.caches)
