"""Euler's method: one straight step along the velocity."""

import functools
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.schedulers.flow import (
    TRAIN_STEPS,
    Schedule,
    check_latents,
    shift_sigmas,
)


@dataclass(frozen=True)
class Euler:
    """Euler's method: first order, with an empty state.

    Attributes:
        schedule: noise levels and timesteps.
        stochastic: False, since a step adds no noise.
    """

    schedule: Schedule
    stochastic: ClassVar[bool] = False

    @classmethod
    def spaced(cls, steps: int, shift: float = 1.0) -> "Euler":
        """Euler with the sigmas of diffusers' FlowMatchEulerDiscreteScheduler.

        The shift is applied twice: to the ends (1 and 1/1000), between which the sigmas
        are spaced evenly, and then to all sigmas.
        """
        ends = shift_sigmas(np.array([1, 1 / TRAIN_STEPS], np.float32), shift)
        first, last = (TRAIN_STEPS * end for end in ends.tolist())
        sigmas = shift_sigmas(np.linspace(first, last, steps) / TRAIN_STEPS, shift)
        # In float32 a shifted 1 can come out one rounding above 1.
        levels = np.minimum(sigmas, 1).astype(np.float32)
        return cls(Schedule.of(levels, levels * TRAIN_STEPS))

    @functools.cached_property
    def table(self) -> Float32[np.ndarray, " steps"]:
        """The change of sigma in every step."""
        return np.diff(self.schedule.sigmas).astype(np.float32)

    def init(self, latents: Float[Array, "..."]) -> tuple[()]:
        """The state at the start of a run with these latents, at any step."""
        check_latents(latents)
        return ()

    def step(
        self,
        i: int | Int[Array, ""],
        latents: Float32[Array, " *shape"],
        velocity: Float[Array, " *shape"],
        state: tuple[()],
    ) -> tuple[Float32[Array, " *shape"], tuple[()]]:
        """Latents at `sigmas[i + 1]`, from those at `sigmas[i]` and their velocity."""
        change = jnp.asarray(self.table)[i]
        return latents + change * velocity.astype(latents.dtype), state
