"""Events of pipeline and engine: progress, and results of stages."""

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
        cut: the end of the prompt that was beyond the text limit, mostly "".
        seconds: by part, of the whole batch.
        sound: the video's; None of models that make none.
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
        done: how much of it is done; steps of a hit count from the schedule's first.
        total: how much there is.
        videos: what was made, in the last event of a run.
    """

    stage: str
    done: int
    total: int
    videos: tuple[Video, ...] = ()


@dataclass(frozen=True, eq=False)
class Denoised:
    """A run of the denoising loop that has ended.

    Attributes:
        plan: what was run.
        chosen: the region, if the plan has one.
        work: what was computed for each request, in full steps.
    """

    plan: StepPlan
    chosen: Chosen | None
    work: np.ndarray


Event = Progress | Denoised
Observer = Callable[[Event], None]
