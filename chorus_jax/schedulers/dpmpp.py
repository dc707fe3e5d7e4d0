"""DPM-Solver++ 2M: second order from this and the previous clean estimate.

Lu et al., arXiv 2211.01095, algorithm 2, midpoint form. For flow matching its
exponential weights are plain ratios of sigmas: with keep = sigma' / sigma,

    latents' = keep * latents + (1 - keep) * (clean + lean * (clean - clean_before))

where the lean is 0 in the first step (no history) and in the last (sigma' = 0), which
makes those Euler steps.
"""

import functools
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.schedulers.flow import (
    TRAIN_STEPS,
    Schedule,
    check_latents,
    log_snr,
    shift_sigmas,
    to_clean,
)


class DPMppState(NamedTuple):
    """The state of DPM-Solver++ between two steps.

    Attributes:
        clean: the clean latents estimated in the previous step.
        age: steps since `init`, at most 1.
    """

    clean: Float32[Array, "..."]
    age: Int[Array, ""]


@dataclass(frozen=True)
class DPMpp:
    """DPM-Solver++ 2M as in diffusers' DPMSolverMultistepScheduler, for flow matching.

    Its history starts at `init`, so a run can begin or restart at any step.

    Attributes:
        schedule: noise levels and timesteps.
        stochastic: False, since a step adds no noise.
    """

    schedule: Schedule
    stochastic: ClassVar[bool] = False

    @classmethod
    def spaced(cls, steps: int, shift: float = 1.0) -> "DPMpp":
        """The solver over `steps` sigmas like diffusers' with `use_flow_sigmas`.

        The first is 0.999 before the shift; timesteps are truncated to whole numbers.
        """
        spacing = 1 - np.linspace(1, 1 / TRAIN_STEPS, steps + 1)
        sigmas = shift_sigmas(spacing, shift)[:0:-1]
        return cls(Schedule.of(sigmas, np.trunc(sigmas * TRAIN_STEPS)))

    @functools.cached_property
    def table(self) -> Float32[np.ndarray, "2 steps 4"]:
        """Constants by age and step: the sigma, and the three weights of `weights`."""
        sigmas, steps = self.schedule.sigmas, range(self.schedule.steps)
        rows = [
            [(sigmas[i], *weights(sigmas, i, min(age, i))) for i in steps]
            for age in range(2)
        ]
        return np.array(rows, np.float32)

    def init(self, latents: Float[Array, " *shape"]) -> DPMppState:
        """The state at the start of a run with these latents, at any step."""
        check_latents(latents)
        return DPMppState(jnp.zeros_like(latents), jnp.int32(0))

    def step(
        self,
        i: int | Int[Array, ""],
        latents: Float32[Array, " *shape"],
        velocity: Float[Array, " *shape"],
        state: DPMppState,
    ) -> tuple[Float32[Array, " *shape"], DPMppState]:
        """Latents at `sigmas[i + 1]`, from those at `sigmas[i]` and their velocity."""
        sigma, keep, now, before = jnp.asarray(self.table)[state.age, i]
        clean = to_clean(latents, velocity, sigma)
        latents = keep * latents + now * clean + before * state.clean
        return latents, DPMppState(clean, jnp.minimum(state.age + 1, 1))


def weights(sigmas: tuple[float, ...], i: int, age: int) -> tuple[float, float, float]:
    """The weights of the three arrays that add up to the latents after step `i`.

    The arrays are the latents before the step, its clean estimate, and the clean
    estimate of the previous step. `age` is the number of steps since `init`.
    """
    keep = sigmas[i + 1] / sigmas[i]
    if age == 0 or sigmas[i + 1] == 0:
        return keep, 1 - keep, 0.0
    before, now, after = (log_snr(sigma) for sigma in sigmas[i - 1 : i + 2])
    lean = 0.5 * (after - now) / (now - before)
    return keep, (1 - keep) * (1 + lean), (keep - 1) * lean
