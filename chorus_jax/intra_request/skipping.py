"""Static step caches: every step is computed, or a fixed list of steps is skipped."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents, evaluate
from chorus_jax.nets.control import select, when
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class EveryStep:
    """Computes every step."""

    def init(self, forward: Forward) -> tuple[()]:
        """An empty state: every step runs."""
        return ()

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: tuple[()],
    ) -> tuple[Latents, Held, tuple[()], Float[Array, " b"]]:
        """The whole pass (see `StepCache.step`)."""
        velocity, held = evaluate(forward, held)
        return velocity, held, state, jnp.ones(i.shape, jnp.float32)


class LastVelocity(NamedTuple):
    """The velocity of the last computed step.

    Attributes:
        velocity: that velocity, with guidance applied; zeros if there is none.
        known: whether there is one, per request.
    """

    velocity: Latents
    known: Bool[Array, " b"]


@dataclass(frozen=True)
class SkipSteps:
    """Takes over the velocity of the last computed step at a fixed list of steps.

    Attributes:
        steps: their numbers, rising from 0. One of them is computed all the same where
            there is no velocity yet: at the first step of a run, and where tokens
            change.

    Raises:
        ValueError: for steps that do not rise from 0.
    """

    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        rising = all(i < j for i, j in zip((-1, *self.steps), self.steps))
        if not isinstance(self.steps, tuple) or not rising:
            raise ValueError(
                f"skipped steps are a tuple of numbers rising from 0, got {self.steps}"
            )

    def init(self, forward: Forward) -> LastVelocity:
        """The state before the first step, without a velocity."""
        zeros = jax.tree.map(jnp.zeros_like, forward.latents)
        count = jax.tree.leaves(zeros)[0].shape[0]
        return LastVelocity(zeros, jnp.zeros(count, bool))

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: LastVelocity,
    ) -> tuple[Latents, Held, LastVelocity, Float[Array, " b"]]:
        """The whole pass, or the last velocity (see `StepCache.step`)."""
        computed = ~(state.known & jnp.isin(i, jnp.array(self.steps, jnp.int32)))
        velocity, held = when(
            computed.any(),
            lambda before: evaluate(forward, before[1]),
            (state.velocity, held),
        )
        velocity = select(computed, velocity, state.velocity)
        after = LastVelocity(velocity, jnp.ones_like(state.known))
        return velocity, held, after, computed.astype(jnp.float32)
