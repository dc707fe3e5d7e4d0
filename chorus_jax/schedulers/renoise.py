"""Stochastic sampling: predicts the clean latents, then adds fresh noise.

This is stochastic_sampling of diffusers' FlowMatchEulerDiscreteScheduler and of
Lightricks/LTX-Video (schedulers/rf.py). Few-step models trained by distribution
matching (FastWan, CausVid, Self-Forcing) are sampled this way.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.schedulers.euler import Euler
from chorus_jax.schedulers.flow import Schedule, add_noise, check_latents, to_clean


@dataclass(frozen=True)
class Renoise:
    """First-order solver with fresh noise in every step and an empty state.

    The caller gives the noise (`denoise.solving`): it depends only on the request's
    seed and the step, not on the rest of the batch.

    Attributes:
        schedule: noise levels and timesteps.
        stochastic: True, since a step adds noise.
    """

    schedule: Schedule
    stochastic: ClassVar[bool] = True

    @classmethod
    def spaced(cls, steps: int, shift: float = 1.0) -> "Renoise":
        """The solver over the sigmas of `Euler.spaced`."""
        return cls(Euler.spaced(steps, shift).schedule)

    @functools.cached_property
    def table(self) -> Float32[np.ndarray, "steps 2"]:
        """The sigma of every step and the next sigma."""
        sigmas = self.schedule.sigmas
        return np.array(list(zip(sigmas, sigmas[1:])), np.float32)

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
        noise: Float32[Array, " *shape"],
    ) -> tuple[Float32[Array, " *shape"], tuple[()]]:
        """Latents at `sigmas[i + 1]`: the predicted clean latents plus this noise."""
        sigma, after = jnp.asarray(self.table)[i]
        return add_noise(to_clean(latents, velocity, sigma), noise, after), state
