"""The two solvers of Wan's own code, whose steps are spaced differently in diffusers.

FlowUniPC and FlowDPM++ (Wan-Video/Wan2.1 and 2.2, wan/utils/fm_solvers_unipc.py and
fm_solvers.py) compute steps like `UniPC` and `DPMpp`. Of 50 timesteps, 40, 27 and 29
differ from diffusers' at shift 3, 5 and 8.
"""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from chorus_jax.schedulers.dpmpp import DPMpp
from chorus_jax.schedulers.flow import TRAIN_STEPS, Schedule, shift_sigmas
from chorus_jax.schedulers.unipc import UniPC


@dataclass(frozen=True)
class FlowUniPC(UniPC):
    """UniPC with the spacing of Wan's FlowUniPCMultistepScheduler."""

    @classmethod
    def spaced(cls, steps: int, shift: float = 1.0) -> "FlowUniPC":
        """The solver over `steps` sigmas from 0.999 (then shifted) towards 0."""
        return cls(spacing(1 - 1 / TRAIN_STEPS, steps, shift))


@dataclass(frozen=True)
class FlowDPMpp(DPMpp):
    """DPM-Solver++ with the spacing of Wan's FlowDPMSolverMultistepScheduler."""

    @classmethod
    def spaced(cls, steps: int, shift: float = 1.0) -> "FlowDPMpp":
        """The solver over `steps` sigmas from exactly 1 towards 0."""
        return cls(spacing(1.0, steps, shift))

    @functools.cached_property
    def table(self) -> Float32[np.ndarray, "2 steps 4"]:
        """By age and step: the sigma, and the weights of `dpmpp.weights`.

        At sigma 1 the log signal-to-noise ratio is infinite, so the step after it has
        first-order weights.
        """
        table, sigmas = super().table.copy(), self.schedule.sigmas
        if sigmas[0] == 1 and self.schedule.steps > 1:
            table[1, 1] = table[0, 1]
        return table


def spacing(first: float, steps: int, shift: float) -> Schedule:
    """The schedule of `steps` sigmas spaced evenly from `first` to 0, then shifted.

    Timesteps are truncated to whole numbers.
    """
    sigmas = shift_sigmas(np.linspace(first, 0, steps + 1)[:-1], shift)
    return Schedule.of(sigmas, np.trunc(sigmas * TRAIN_STEPS))
