"""Distillation to a few steps: the student leaps where the teacher went in many steps.

Between two neighbouring levels of a stored trajectory (`teach.py`) the student learns
the one velocity that leads from the first to the second, guidance folded in: one round
of progressive distillation (arXiv 2202.00512) with guidance (arXiv 2210.03142), on the
teacher's own trajectories.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.schedulers.flow import TRAIN_STEPS, explicit
from chorus_jax.training.flow import at_scales, unrolled
from chorus_jax.training.initial_flow import TRANSFORMER
from chorus_jax.training.params import Params, abstract_part, assembled
from chorus_jax.training.recipe import DistillTraining
from chorus_jax.training.teach import Taught

PROBED = 32  # the last trajectories are looked at, not trained on


class Leaps(NamedTuple):
    """A batch of a student's steps.

    Attributes:
        latents: those that the steps start from.
        velocity: the one that leads to the teacher's next latents.
        sigmas: the noise levels of the starts.
        text: embeddings of the captions.
    """

    latents: Float[Any, "b f h w c"]
    velocity: Float[Any, "b f h w c"]
    sigmas: Float[Any, " b"]
    text: Float[Any, "b m t"]


@dataclass(frozen=True)
class LeapBatches:
    """Batches of random trajectories, every level as often as any other.

    Attributes:
        taught: the trajectories.
        training: the batch size, the levels and the seed.
    """

    taught: Taught
    training: DistillTraining

    @functools.cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Latents at all levels, and text. ValueError if they are too few."""
        latents, text = self.taught.latents(), self.taught.text()
        if len(latents) < 2 * PROBED:
            raise ValueError(
                f"{self.taught.folder} holds {len(latents)} trajectories, but "
                f"distilling takes {2 * PROBED} or more: run "
                "`python -m chorus_jax.training teach`"
            )
        return latents, text

    @functools.cached_property
    def sigmas(self) -> np.ndarray:
        """The shifted levels of a trajectory, 0 last."""
        training = self.training
        return np.array(explicit(training.sigmas, training.shift).sigmas, np.float32)

    def __call__(self, step: int) -> Leaps:
        """The batch of a step."""
        plan = self.training.plan
        rng = np.random.default_rng((plan.seed, step))
        rows = rng.integers(len(self.arrays[0]) - PROBED, size=plan.batch)
        starts = rng.permutation(plan.batch) % (len(self.sigmas) - 1)
        return self.leaps(rows, starts)

    def leaps(self, rows: np.ndarray, starts: np.ndarray) -> Leaps:
        """The leaps of these trajectories from these levels to the next ones."""
        latents, text = self.arrays
        here = latents[rows, starts].astype(np.float32)
        there = latents[rows, starts + 1].astype(np.float32)
        down = self.sigmas[starts] - self.sigmas[starts + 1]
        velocity = (here - there) / down.reshape(-1, 1, 1, 1, 1)
        return Leaps(here, velocity, self.sigmas[starts], text[rows])


@dataclass(frozen=True)
class DistillJob:
    """A `loop.Job` for a transformer that starts as the teacher's.

    Attributes:
        transformer: the sizes of both.
        teacher: its parameters.
        batch: gives the batch of a step.
        like: the abstract module of the student.
    """

    transformer: WanConfig
    teacher: Params
    batch: LeapBatches
    like: nnx.Module = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "like", abstract_part(WanDiT, self.transformer))

    def initial(self) -> Params:
        """The teacher's parameters."""
        return {k: jnp.copy(x) for k, x in self.teacher.items()}

    def loss(
        self, params: Params, batch: Leaps, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Error of the velocity at several scales; only the batch is random."""
        error = self.error(params, batch)
        figures = {"mse": jnp.square(error).mean()}
        return at_scales(error, self.batch.training.scales), figures

    def error(self, params: Params, batch: Leaps) -> Float[Array, "b f h w c"]:
        """The velocity that is made, minus the one that a leap needs."""
        model: WanDiT = assembled(TRANSFORMER, params, self.like)
        timestep = TRAIN_STEPS * batch.sigmas
        made, _ = unrolled(model, batch.latents, timestep, batch.text)
        return made - batch.velocity

    def probe(self, params: Params) -> dict[str, float]:
        """The error from each level, over the velocity's variance."""
        count, losses = len(self.batch.arrays[0]), {}
        rows = np.arange(count - PROBED, count)
        for level in range(len(self.batch.sigmas) - 1):
            leaps = self.batch.leaps(rows, np.full(PROBED, level))
            error = np.asarray(self.compiled_error(params, leaps))
            share = np.square(error).mean() / leaps.velocity.var()
            losses[f"level_{level}"] = float(share)
        return losses

    @functools.cached_property
    def compiled_error(self) -> Callable[..., Array]:
        """`error`, compiled once."""
        return jax.jit(self.error)
