"""UniPC of order 2 (B2): DPM-Solver++ 2M whose steps first correct the previous step.

Zhao et al., arXiv 2302.04867. The predictor is DPM-Solver++ 2M (see `dpmpp`). The
corrector needs no further run of the model: the velocity at step i also corrects the
result of step i - 1.
"""

import functools
import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.schedulers import dpmpp
from chorus_jax.schedulers.flow import (
    NEAR_NOISE,
    TRAIN_STEPS,
    Schedule,
    check_latents,
    log_snr,
    shift_sigmas,
    to_clean,
)


class UniPCState(NamedTuple):
    """The state of UniPC between two steps.

    Attributes:
        latents: the corrected latents of the previous step.
        clean: the clean latents estimated in the previous step.
        older: the clean latents estimated in the step before that.
        age: steps since `init`, at most 2.
    """

    latents: Float32[Array, "..."]
    clean: Float32[Array, "..."]
    older: Float32[Array, "..."]
    age: Int[Array, ""]


@dataclass(frozen=True)
class UniPC:
    """UniPC as in diffusers' UniPCMultistepScheduler (bh2, order 2), for flow matching.

    Its history starts at `init`, so a run can begin or restart at any step.

    Attributes:
        schedule: noise levels and timesteps.
        stochastic: False, since a step adds no noise.
    """

    schedule: Schedule
    stochastic: ClassVar[bool] = False

    @classmethod
    def spaced(cls, steps: int, shift: float = 1.0) -> "UniPC":
        """The solver over `steps` sigmas like diffusers' with `use_flow_sigmas`.

        The first sigma is 1 minus a millionth; timesteps are truncated to whole numbers
        (the first is 999).
        """
        spacing = np.linspace(1, 1 / TRAIN_STEPS, steps + 1)[:-1]
        sigmas = np.minimum(shift_sigmas(spacing, shift), NEAR_NOISE)
        return cls(Schedule.of(sigmas, np.trunc(sigmas * TRAIN_STEPS)))

    @functools.cached_property
    def table(self) -> Float32[np.ndarray, "3 steps 9"]:
        """Constants by age and step: the sigma, corrector and predictor weights."""
        steps = range(self.schedule.steps)
        rows = [[self._row(i, min(age, i)) for i in steps] for age in range(3)]
        return np.array(rows, np.float32)

    def _row(self, i: int, age: int) -> tuple[float, ...]:
        sigmas = self.schedule.sigmas
        return sigmas[i], *correction(sigmas, i, age), *dpmpp.weights(sigmas, i, age)

    def init(self, latents: Float[Array, " *shape"]) -> UniPCState:
        """The state at the start of a run with these latents, at any step."""
        check_latents(latents)
        zeros = jnp.zeros_like(latents)
        return UniPCState(zeros, zeros, zeros, jnp.int32(0))

    def step(
        self,
        i: int | Int[Array, ""],
        latents: Float32[Array, " *shape"],
        velocity: Float[Array, " *shape"],
        state: UniPCState,
    ) -> tuple[Float32[Array, " *shape"], UniPCState]:
        """Latents at `sigmas[i + 1]`, from those at `sigmas[i]` and their velocity."""
        sigma, *row = jnp.asarray(self.table)[state.age, i]
        clean = to_clean(latents, velocity, sigma)
        history = (latents, state.latents, state.clean, state.older, clean)
        corrected = _mix(row[:5], history)
        latents = _mix(row[5:], (corrected, clean, state.clean))
        age = jnp.minimum(state.age + 1, 2)
        return latents, UniPCState(corrected, clean, state.clean, age)


def _mix(weights: list[Array], arrays: tuple[Array, ...]) -> Array:
    return functools.reduce(
        jnp.add, (weight * array for weight, array in zip(weights, arrays, strict=True))
    )


def correction(
    sigmas: tuple[float, ...], i: int, age: int
) -> tuple[float, float, float, float, float]:
    """The weights of the five arrays that add up to the corrected latents of step `i`.

    The arrays are, in this order: the predicted latents, the previous step's corrected
    latents, and the clean estimates of the previous step, of the step before it, and of
    this step. `age` is the number of steps since `init`.
    """
    if age == 0:
        return 1.0, 0.0, 0.0, 0.0, 0.0
    keep = sigmas[i] / sigmas[i - 1]
    now, older = (0.5, 0.0) if age == 1 else _second_order(sigmas, i)
    gain = 1 - keep
    return 0.0, keep, gain * (1 - now - older), gain * older, gain * now


def _second_order(sigmas: tuple[float, ...], i: int) -> tuple[float, float]:
    """The weights of this step's and the older estimate, each minus the previous one.

    They solve the two equations of UniC-2 with B(h) = e^h - 1, at -h (section 3.2).
    """
    before, last, now = (log_snr(sigma) for sigma in sigmas[i - 2 : i + 1])
    h = now - last
    ratio = (before - last) / h
    b = math.expm1(-h)
    phi = b / -h - 1
    first, second = phi / b, 2 * (phi / -h - 0.5) / b
    rho = (first - second) / (1 - ratio)
    return first - rho, rho / ratio
