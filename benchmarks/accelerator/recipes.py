"""Recipes for `benchmarks.accelerator.train`: a real one, and one for rehearsals."""

from dataclasses import dataclass, replace

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
from chorus_jax.training.recipes.shapes import shapes
from chorus_jax.training.world.scene import World


@dataclass(frozen=True)
class DeviceScale:
    """A training recipe, with the numbers of clips, captions and samples.

    Attributes:
        recipe: the models and their training.
        shipped_vae: whether to use the VAE of the shipped weights instead of training
            the recipe's, which has the same config.
        wordings: captions for each combination of attributes.
        at_once: number of clips that are drawn and encoded, and of trajectories that
            are run, in one call.
        prompts: number of held-out prompts that are sampled.
        batch: number of videos that are sampled at once.
        steps: denoising steps of the undistilled transformer.
    """

    recipe: TrainingRecipe
    shipped_vae: bool
    wordings: int
    at_once: int
    prompts: int
    batch: int
    steps: int

    def trial(self, clips: int) -> "DeviceScale":
        """A copy for a trial: this many clips, and a sixteenth as many trajectories."""
        recipe = self.recipe
        recipe = replace(
            recipe,
            train_flow=replace(recipe.train_flow, clips=clips),
            distill=replace(recipe.distill, trajectories=clips // 16),
        )
        return replace(self, recipe=recipe)


def real() -> DeviceScale:
    """The recipe `shapes` with batches and clips that keep an accelerator busy.

    Its plans have more steps than there is time for: a deadline ends them.
    """
    recipe = shapes()
    flow = replace(recipe.train_flow.plan, steps=10**6, batch=512, average=0.999)
    taught = TrainingPlan(10**5, 128, 5e-3, warmup=20, average=0.995)
    recipe = replace(
        recipe,
        train_flow=replace(recipe.train_flow, plan=flow, clips=131_072),
        distill=replace(recipe.distill, plan=taught, trajectories=8192),
    )
    return DeviceScale(recipe, True, 32, 256, 400, 100, 50)


def rehearsed() -> DeviceScale:
    """Models of a few thousand parameters, trained for seconds."""
    recipe = TrainingRecipe(
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
            text_limit=32,
            patch=(1, 4, 4),
        ),
        train_vae=VaeTraining(
            TrainingPlan(2, 2, 1e-2, warmup=2),
            frames=5,
            side=16,
            world=World(48, 48, 5),
        ),
        train_flow=FlowTraining(TrainingPlan(10**6, 4, 1e-2, warmup=2), clips=64),
        distill=DistillTraining(
            TrainingPlan(10**6, 4, 1e-2, warmup=2),
            trajectories=64,
            sigmas=(1.0, 0.5),
            parts=1,
        ),
    )
    return DeviceScale(recipe, False, 1, 32, 4, 4, 2)
