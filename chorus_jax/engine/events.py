"""Events that the pipeline and the engine report: progress, and results of stages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.state import Chosen
from chorus_jax.media.sound import Sound
from chorus_jax.request import Request


@dataclass(frozen=True)
class Video:
    """The video of a request.

    Attributes:
        frames: [f h w 3], 8 bits.
        latents: the denoised latents, [f h w c], or a dictionary of several streams.
        request: the request with the seed that was used.
        cut: the end of the prompt beyond the text limit, which is not read; usually
            "".
        seconds: the time that each part of the run took, for the whole batch.
        sound: the video's sound; None for models without sound.
    """

    frames: np.ndarray
    latents: Any
    request: Request
    cut: str
    seconds: dict[str, float]
    sound: Sound | None = None


@dataclass(frozen=True)
class Progress:
    """Progress of a stage of the work.

    Attributes:
        stage: `encode`, `denoise` or `decode`.
        done: units of the stage that are done; steps of a hit count from the first step
            of the schedule.
        total: units of the stage in all.
        videos: the videos made, in the last event of a run; empty before.
    """

    stage: str
    done: int
    total: int
    videos: tuple[Video, ...] = ()


@dataclass(frozen=True, eq=False)
class Denoised:
    """The denoising loop of a run has ended.

    Attributes:
        plan: the plan that was run.
        chosen: the region that was chosen; None if the plan has no region.
        work: the work computed for each request, in full steps.
    """

    plan: StepPlan
    chosen: Chosen | None
    work: np.ndarray


Event = Progress | Denoised
Observer = Callable[[Event], None]
