"""Flow matching: noise levels and their schedule, noisy and clean latents.

    latents = (1 - sigma) * clean + sigma * noise,    velocity = noise - clean

sigma falls from 1 (noise) to 0 (clean); networks take `timestep = 1000 * sigma`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

TRAIN_STEPS = 1000

# The highest sigma below 1 for solvers that take logarithms; diffusers' value.
NEAR_NOISE = float(np.float32(1 - 1e-6))

Sigmas = TypeVar("Sigmas", float, np.ndarray, Array)


@dataclass(frozen=True)
class Schedule:
    """The noise levels and timesteps of a run: static and hashable.

    Attributes:
        sigmas: step `i` goes from `sigmas[i]` to `sigmas[i + 1]`; there is one more
            than there are steps, and the last is 0.
        timesteps: step `i` runs the network at `timesteps[i]`.
    """

    sigmas: tuple[float, ...]
    timesteps: tuple[float, ...]

    def __post_init__(self):
        sigmas, timesteps = self.sigmas, self.timesteps
        if not timesteps or len(sigmas) != len(timesteps) + 1:
            raise ValueError(
                "a schedule has at least one step, and one more sigma than timesteps; "
                f"got {len(sigmas)} sigmas and {len(timesteps)} timesteps"
            )
        if not 0 <= sigmas[0] <= 1 or sigmas[-1] != 0:
            raise ValueError(
                "sigmas start at 1 or below and end at exactly 0; "
                f"got {sigmas[0]} first and {sigmas[-1]} last"
            )
        for i, (sigma, lower) in enumerate(pairwise(sigmas)):
            if not sigma > lower:
                raise ValueError(
                    "sigmas fall with every step (fewer steps or a smaller shift may "
                    f"help); got sigmas[{i}]={sigma} and then {lower}"
                )
        for i, timestep in enumerate(timesteps):
            if not 0 <= timestep <= TRAIN_STEPS:
                raise ValueError(
                    f"timesteps lie within 0 and {TRAIN_STEPS}; "
                    f"got timesteps[{i}]={timestep}"
                )

    @classmethod
    def of(cls, sigmas: np.ndarray, timesteps: np.ndarray) -> "Schedule":
        """A schedule from each step's sigma and timestep, rounded to float32."""
        if not len(timesteps):
            raise ValueError("a schedule has at least one step; got none")
        levels = np.append(sigmas.astype(np.float32), np.float32(0))
        times = timesteps.astype(np.float32)
        return cls(tuple(levels.tolist()), tuple(times.tolist()))

    @property
    def steps(self) -> int:
        return len(self.timesteps)

    def last(self, count: int) -> "Schedule":
        """The schedule of the last `count` steps, for a run that begins at a later
        step."""
        return Schedule(self.sigmas[-count - 1 :], self.timesteps[-count:])


def explicit(sigmas: Sequence[float], shift: float = 1.0) -> Schedule:
    """The schedule of given sigmas, such as a distilled model's, after the shift.

    The final 0 may be left out. A Wan distilled for timesteps 1000, 750, 500, 250 at
    shift 5 has `explicit((1.0, 0.75, 0.5, 0.25), 5.0)`. Equal to
    `set_timesteps(sigmas=...)` of diffusers' FlowMatchEulerDiscreteScheduler.
    """
    levels = np.array(sigmas, np.float32)
    final = levels.size > 0 and levels[-1] == 0
    levels = shift_sigmas(levels[:-1] if final else levels, shift)
    return Schedule.of(levels, levels * TRAIN_STEPS)


def at_timesteps(timesteps: Sequence[float], shift: float = 1.0) -> Schedule:
    """The schedule of given timesteps, which the network gets unchanged.

    The sigma of each timestep is the nearest of `TRAIN_STEPS` levels shifted by
    `shift`, as in the samplers of FastVideo and CausVid. For example, a Wan trained
    with shift 8 at 1000, 757, 522 has sigmas 1, .756757, .521739. The final 0 may be
    left out.
    """
    times = np.array(timesteps, np.float64)
    times = times[:-1] if times[-1] == 0 else times
    levels = shift_sigmas(np.arange(1, TRAIN_STEPS + 1) / TRAIN_STEPS, shift)
    nearest = np.abs(levels * TRAIN_STEPS - times[:, None]).argmin(axis=1)
    return Schedule.of(levels[nearest], times)


def listed(steps: Sequence[float], shift: float = 1.0) -> Schedule:
    """The schedule of listed steps: timesteps if the first exceeds 1, else sigmas.

    Raises:
        ValueError: for a list that does not fall or is out of range, and as in
            `Schedule`.
    """
    for level in steps:
        if not 0 <= level <= TRAIN_STEPS:
            raise ValueError(
                f"listed timesteps are from {TRAIN_STEPS} to 0 (and sigmas from 1 to "
                f"0), got {level:g}"
            )
    for level, following in pairwise(steps):
        if not level > following:
            raise ValueError(
                "listed sigmas or timesteps must fall from one step to the next, got "
                f"{level:g} and then {following:g}"
            )
    rule = at_timesteps if steps and steps[0] > 1 else explicit
    return rule(steps, shift)


def shift_sigmas(sigmas: Sigmas, shift: float) -> Sigmas:
    """Sigmas moved towards noise (`shift` > 1): their odds, s / (1 - s), times `shift`.

    SD3, arXiv 2403.03206, equation 23. Shifts compose by multiplication.
    """
    if not 0 < shift < math.inf:
        raise ValueError(f"shift must be a positive number, got {shift=}")
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def log_snr(sigma: float) -> float:
    """Half the log signal-to-noise ratio, log((1 - sigma) / sigma); finite at 1."""
    sigma = min(sigma, NEAR_NOISE)
    return math.log((1 - sigma) / sigma) if sigma else math.inf


def add_noise(
    clean: Float[Array, " *shape"],
    noise: Float[Array, " *shape"],
    sigma: float | Float[Array, "..."],
) -> Float[Array, " *shape"]:
    """Latents at noise level `sigma`: a number, or an array over the leading axes."""
    level = along_leading(sigma, clean)
    return (1 - level) * clean + level * noise


def to_clean(
    latents: Float[Array, " *shape"],
    velocity: Float[Array, " *shape"],
    sigma: float | Float[Array, "..."],
) -> Float[Array, " *shape"]:
    """The clean latents that a velocity predicts; `sigma` as in `add_noise`."""
    return latents - along_leading(sigma, latents) * velocity.astype(latents.dtype)


def along_leading(
    sigma: float | Float[Array, "..."], like: Float[Array, "..."]
) -> Float[Array, "..."]:
    """`sigma` with trailing axes of size 1, so that it broadcasts over `like`."""
    level = jnp.asarray(sigma, like.dtype)
    return level.reshape(level.shape + (1,) * (like.ndim - level.ndim))


def check_latents(latents: Float[Array, "..."]) -> None:
    """Raises a ValueError unless latents are float32.

    In lower precision the small change of a step would be rounded away.
    """
    if latents.dtype != jnp.float32:
        raise ValueError(
            f"a solver's latents are float32, got {latents.dtype}; cast them first"
        )
