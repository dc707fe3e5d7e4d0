"""Static step caches: every step is computed, or a fixed list of steps is skipped."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents, evaluate
from chorus_jax.intra_request.listed import ListedSteps, check_rising
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class EveryStep:
    """Computes every step."""

    extrapolates = False  # not a field (see `extrapolating`): it skips nothing

    def init(self, forward: Forward) -> tuple[()]:
        """An empty state."""
        return ()

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: tuple[()],
    ) -> tuple[Latents, Held, tuple[()], Float[Array, " b"]]:
        """Runs the whole pass (see `StepCache.step`)."""
        velocity, held = evaluate(forward, held)
        return velocity, held, state, jnp.ones(i.shape, jnp.float32)


@dataclass(frozen=True)
class SkipSteps(ListedSteps):
    """Reuses the velocity of the last computed step at a fixed list of steps.

    Attributes:
        steps: the numbers of these steps, 0 or more and rising (see `ListedSteps`).

    Raises:
        ValueError: for steps that are negative or do not rise.
    """

    steps: tuple[int, ...]

    def __post_init__(self) -> None:
        check_rising(self.steps)
