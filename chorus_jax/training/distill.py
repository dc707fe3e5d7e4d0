"""Distillation to a few steps: one step of the student replaces many of the teacher.

For two neighbouring levels of a stored trajectory (`teach.py`), the student learns the
velocity that leads straight from the first to the second, guidance included: one round
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

PROBED = 32  # the last trajectories, used by the probe and not for training


class Leaps(NamedTuple):
    """A batch of a student's steps.

    Attributes:
        latents: the latents that the steps start from.
        velocity: the velocity that leads to the teacher's latents of the next level.
        sigmas: the noise levels that the steps start from.
        text: embeddings of the captions.
    """

    latents: Float[Any, "b f h w c"]
    velocity: Float[Any, "b f h w c"]
    sigmas: Float[Any, " b"]
    text: Float[Any, "b m t"]


@dataclass(frozen=True)
class LeapBatches:
    """Batches of steps of random trajectories; all levels are equally frequent.

    Attributes:
        taught: the trajectories.
        training: the batch size, the levels and the seed.
    """

    taught: Taught
    training: DistillTraining

    @functools.cached_property
    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Latents at all levels, and text. Raises a ValueError for too few
        trajectories."""
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
        """The steps of these trajectories from these levels to the next ones."""
        latents, text = self.arrays
        here = latents[rows, starts].astype(np.float32)
        there = latents[rows, starts + 1].astype(np.float32)
        down = self.sigmas[starts] - self.sigmas[starts + 1]
        velocity = (here - there) / down.reshape(-1, 1, 1, 1, 1)
        return Leaps(here, velocity, self.sigmas[starts], text[rows])


@dataclass(frozen=True)
class DistillJob:
    """The `loop.TrainingJob` of a student that starts with the teacher's parameters.

    Attributes:
        transformer: the config of student and teacher.
        teacher: the teacher's parameters.
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
        """Loss of the velocity at several scales; `key` is not used."""
        error = self.error(params, batch)
        figures = {"mse": jnp.square(error).mean()}
        return at_scales(error, self.batch.training.scales), figures

    def error(self, params: Params, batch: Leaps) -> Float[Array, "b f h w c"]:
        """The predicted velocity minus the target velocity, which leads to the next
        level."""
        model: WanDiT = assembled(TRANSFORMER, params, self.like)
        timestep = TRAIN_STEPS * batch.sigmas
        made, _ = unrolled(model, batch.latents, timestep, batch.text)
        return made - batch.velocity

    def probe(self, params: Params) -> dict[str, float]:
        """The mean square error from each level, over the velocity's variance."""
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
