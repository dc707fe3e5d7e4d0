"""A request: what a caller asks for, and the solver that follows from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, no_type_check

from chorus_jax.media.inputs import InputMedia
from chorus_jax.schedulers import Solver, explicit, named

# Scheduler classes of diffusers, and our solvers.
SCHEDULERS = {
    "FlowMatchEulerDiscreteScheduler": "euler",
    "UniPCMultistepScheduler": "unipc",
    "DPMSolverMultistepScheduler": "dpmpp",
}


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass(frozen=True)
class Request:
    """One video to make. The defaults are those of Wan 2.1 (its generate.py), at 480p,
    but for the negative prompt, which is empty.

    `steps` is a number of steps, spaced as the solver spaces them, or the list of
    sigmas themselves (from 1 down, as distilled models want them), both shifted by
    `shift`. At `guidance_scale` up to 1 only the prompt is evaluated, not the negative
    prompt. `guidance_scale_high` and `guidance_scale_low` are those of the steps above
    and below the boundary of a model with two experts, both `guidance_scale` if None.
    `inputs` are the images that an image-to-video model begins with. Without a `seed`
    one is drawn. Raises ValueError for impossible values.
    """

    prompt: str
    negative_prompt: str = ""
    frames: int = 81
    height: int = 480
    width: int = 832
    steps: int | tuple[float, ...] = 50
    solver: str = "unipc"
    shift: float = 5.0
    guidance_scale: float = 5.0
    seed: int | None = None
    guidance_scale_high: float | None = None
    guidance_scale_low: float | None = None
    inputs: InputMedia | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "negative_prompt"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be text, got {getattr(self, name)!r}")
        for name in ("frames", "height", "width"):
            check_whole(name, getattr(self, name), 1, 2**31 - 1)
        if self.seed is not None:
            check_whole("seed", self.seed, 0, 2**32 - 1)
        if not isinstance(self.steps, tuple):
            check_whole("steps", self.steps, 1, 1000)
        # Comparisons with NaN are false, hence the form of these two.
        if not (math.isfinite(self.shift) and self.shift > 0):
            raise ValueError(f"{self.shift=} must be positive; 1 changes nothing")
        names = ("guidance_scale", "guidance_scale_high", "guidance_scale_low")
        for name in names:
            scale = getattr(self, name)
            if scale is None and name != "guidance_scale":
                continue
            if not (math.isfinite(scale) and scale >= 0):
                raise ValueError(f"self.{name}={scale} must be 0 or more; 1 is none")
        self.make_solver()

    @property
    def guided(self) -> bool:
        """Whether the negative prompt is evaluated beside the prompt."""
        return max(self.guidance_scales) > 1

    @property
    def guidance_scales(self) -> tuple[float, float]:
        """The scales above and below the boundary of a model with two experts."""
        high, low = self.guidance_scale_high, self.guidance_scale_low
        usual = self.guidance_scale
        return usual if high is None else high, usual if low is None else low

    @property
    def step_count(self) -> int:
        """The number of steps of its schedule."""
        return self.make_solver().schedule.steps

    def make_solver(self) -> Solver:
        """The solver over this request's schedule."""
        method = named(self.solver)
        if isinstance(self.steps, int):
            return method.spaced(self.steps, self.shift)
        return method(explicit(self.steps, self.shift))

    def program(self) -> dict[str, object]:
        """What decides the compiled program: requests of a batch must agree on it."""
        names = ("frames", "height", "width", "steps", "solver", "shift", "guided")
        return {name: getattr(self, name) for name in names}


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """ValueError unless the value is a whole number within these bounds."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(
            f"{name} must be a whole number from {least} to {most}, got {value!r}"
        )


def scheduled(scheduler: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of a request that a model's scheduler_config.json decides.

    None of them if the model came without one, or with a scheduler that is not ours.
    """
    solver = SCHEDULERS.get((scheduler or {}).get("_class_name", ""))
    if scheduler is None or solver is None:
        return {}
    shift = scheduler.get("flow_shift", scheduler.get("shift"))
    return {"solver": solver} | ({} if shift is None else {"shift": float(shift)})


def same_program(requests: tuple[Request, ...]) -> None:
    """ValueError naming what differs if these requests cannot share a batch."""
    if not requests:
        raise ValueError("no request is given: give at least one")
    first = requests[0].program()
    for request in requests[1:]:
        differing = {
            name: (first[name], value)
            for name, value in request.program().items()
            if value != first[name]
        }
        if differing:
            raise ValueError(
                f"the requests of a batch must agree, but these differ: {differing}; "
                "run them one after the other"
            )
