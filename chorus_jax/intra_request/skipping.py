"""Static step caches: every step is computed, or a fixed list of steps is skipped."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents, evaluate
from chorus_jax.intra_request.scheduled import ScheduledCache
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


@dataclass(frozen=True)
class SkipSteps(ScheduledCache):
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
        check_rising(self.steps)

    def computes(self, steps: int) -> tuple[bool, ...]:
        """All steps but those of the list."""
        return tuple(i not in self.steps for i in range(steps))


def check_rising(steps: tuple[int, ...]) -> None:
    """ValueError unless these are a tuple of numbers that rise from 0."""
    if not isinstance(steps, tuple) or not all(
        i < j for i, j in zip((-1, *steps), steps)
    ):
        raise ValueError(
            f"skipped steps are a tuple of numbers rising from 0, got {steps}"
        )
