"""Runs Wan models in the library's denoising loop, for benchmarks of this family."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Array

from chorus_jax.denoise import loop
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.state import Inputs, SourceLatents
from chorus_jax.engine import Pipeline
from chorus_jax.families.forward import TRANSFORMER, Geometry
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.model import WanModel
from chorus_jax.nets.tokens import Size, Tiling


def wan(pipeline: Pipeline) -> WanModel:
    """The model of a pipeline. Raises a TypeError if it is of another family."""
    model = pipeline.model
    if not isinstance(model, WanModel):
        raise TypeError(f"this benchmark is of Wan, got a model of {model.family}")
    return model


def geometry(config: WanConfig, grid: Size) -> Geometry:
    """The shapes of a video with these tokens along frames, height and width."""
    shape = tuple(n * p for n, p in zip(grid, config.patch, strict=True))
    streams = (("video", (*shape, config.in_channels)),)
    return Geometry(streams, grid, config.patch, Tiling.fitting(grid, config.tile).tile)


def inputs(
    model: WanDiT, conditions: Any, source: SourceLatents | None = None
) -> Inputs:
    """The arrays of a run of one transformer."""
    return Inputs({TRANSFORMER: model}, {TRANSFORMER: conditions}, source)


@dataclass(frozen=True, eq=False)
class LoopRun:
    """A prepared run of the library's denoising loop, started by calling it.

    Attributes:
        program: the static description of the run.
        inputs: the arrays that it reads.
        latents: the latents that it starts from.
    """

    program: Program
    inputs: Inputs
    latents: Array

    def __call__(
        self, every: int | None = None, after: Callable[[], object] = lambda: None
    ) -> np.ndarray:
        """Runs the loop; returns the latents after the last step.

        Args:
            every: steps per call of the loop (None: all).
            after: a function called after each of these calls.
        """
        state = loop.start(self.inputs, self.latents, program=self.program)
        for _, state in loop.in_pieces(self.inputs, state, self.program, every):
            after()
        return np.asarray(state.latents)
