"""A recipe of the smallest sizes, whose stages are run once."""

import pytest

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config
from chorus_jax.training.plan import TrainingPlan
from chorus_jax.training.recipe import (
    DistillTraining,
    FlowTraining,
    TrainingRecipe,
    VaeTraining,
)
from chorus_jax.training.world.scene import World


@pytest.fixture(scope="session")
def recipe():
    return TrainingRecipe(
        world=World(48, 48, 5),
        vae=WanVAEConfig(4, (1, 1), 1, (True,), (0.0,) * 3, (1.0,) * 3),
        text_encoder=T5Config(16, 1, 2, 16, vocab=0, head_width=8),
        transformer=WanConfig(
            heads=2,
            depth=2,
            mlp_width=32,
            head_width=8,
            in_channels=3,
            out_channels=3,
            text_width=16,
            text_limit=24,
            patch=(1, 4, 4),
        ),
        train_vae=VaeTraining(
            TrainingPlan(12, 2, 1e-2, warmup=2),
            frames=5,
            side=16,
            world=World(48, 48, 5),
        ),
        train_flow=FlowTraining(TrainingPlan(12, 4, 1e-2, warmup=2), clips=6, near=1.0),
        distill=DistillTraining(
            TrainingPlan(12, 4, 1e-2, warmup=2),
            trajectories=64,
            sigmas=(1.0, 0.5),
            parts=2,
        ),
        pairs=0.2,
    )
