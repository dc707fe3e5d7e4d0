"""The content of a recipe's folder, and the jobs that make it.

vae/        training states, log and loss plot of the VAE
vae_model/  the VAE as a checkpoint folder, with its latents' statistics
clips/      encoded clips
tokenizer/  the tokenizer
flow/       training states of transformer and text encoder
taught/     trajectories of the newest averaged parameters
distill/    training states of a transformer of few steps
model/      everything, as `Pipeline.load` reads it
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chorus_jax import checkpoints
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.model import WanModel
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config, T5Encoder
from chorus_jax.text.prompts import Tokenizer
from chorus_jax.training import saved
from chorus_jax.training.assemble import FAMILY, stored_part
from chorus_jax.training.captioned import CaptionedBatches
from chorus_jax.training.data import Clips, Crops, Encoded
from chorus_jax.training.distill import DistillJob, LeapBatches
from chorus_jax.training.encode import raw_latents
from chorus_jax.training.flow import TEXT, TRANSFORMER, FlowJob
from chorus_jax.training.loop import State, TrainingJob, start
from chorus_jax.training.params import Params, of_part
from chorus_jax.training.plan import TrainingPlan
from chorus_jax.training.recipe import TrainingRecipe
from chorus_jax.training.teach import Taught
from chorus_jax.training.teacher import check_teacher
from chorus_jax.training.tokenizer import make_tokenizer, vocabulary_size
from chorus_jax.training.vae import PART as VAE
from chorus_jax.training.vae import VaeJob, with_statistics
from chorus_jax.training.world.attributes import training_combinations
from chorus_jax.training.world.captions import vocabulary
from chorus_jax.training.world.examples import prompts

MEASURED = 64  # clips that give the latents' statistics


@dataclass(frozen=True)
class Made:
    """A recipe and its folder.

    Attributes:
        recipe: the model and how it is trained.
        folder: the folder with everything made from the recipe so far.
    """

    recipe: TrainingRecipe
    folder: Path

    @property
    def clips(self) -> Clips:
        """The clips of the recipe's world."""
        return Clips(self.recipe.world, self.recipe.pairs, self.recipe.seed)

    @property
    def vae_clips(self) -> Clips:
        """The clips that the VAE is trained on."""
        recipe = self.recipe
        return Clips(recipe.train_vae.world, recipe.pairs, recipe.seed)

    def vae_job(self) -> VaeJob:
        """The VAE's loss and batches."""
        training = self.recipe.train_vae
        plan, frames, side = training.plan, training.frames, training.side
        crops = Crops(self.vae_clips, plan.batch, frames, side)
        config = replace(self.recipe.vae, dtype=compute_dtype())
        return VaeJob(config, training, crops)

    def flow_job(self) -> FlowJob:
        """The flow's loss and batches. Raises a ValueError if clips are not encoded."""
        dtype = compute_dtype()
        return FlowJob(
            replace(self.recipe.transformer, dtype=dtype),
            replace(self.text_config(), dtype=dtype),
            self.recipe.train_flow,
            self.flow_batches(),
        )

    def flow_batches(self) -> Any:
        """Batches of the clips on disk."""
        training = self.recipe.train_flow
        return CaptionedBatches(self.encoded, self.tokenizer(), training)

    def distill_job(self) -> DistillJob:
        """The student's loss and batches. Raises a ValueError if trajectories or
        student come from another teacher than the newest one."""
        training, teacher = self.recipe.distill, self.teacher().fingerprints
        check_teacher(self.taught.folder, teacher)
        if saved.steps(self.folder / "distill"):
            check_teacher(self.folder / "distill", teacher)
        return DistillJob(
            replace(self.recipe.transformer, dtype=compute_dtype()),
            of_part(TRANSFORMER, self.flow_averaged()),
            LeapBatches(self.taught, training),
        )

    @property
    def taught(self) -> Taught:
        """The teacher's trajectories."""
        return Taught(self.folder / "taught")

    def teacher(self) -> WanModel:
        """The newest transformer, text encoder and VAE as a model, in float32."""
        return WanModel(self.flow_parts("float32"), self.tokenizer())

    def captions(self) -> list[str]:
        """The captions of the teacher's runs, without held-out combinations."""
        pool, recipe = training_combinations(), self.recipe
        scene_prompts = prompts(pool, recipe.distill.trajectories, recipe.seed)
        return [prompt.caption for prompt in scene_prompts]

    @property
    def encoded(self) -> Encoded:
        """The encoded clips."""
        return Encoded(self.folder / "clips")

    def tokenizer(self) -> Tokenizer:
        """The world's tokenizer, with the transformer's text length."""
        limit = self.recipe.transformer.text_limit
        return make_tokenizer(self.folder / "tokenizer", vocabulary(), limit)

    def text_config(self) -> T5Config:
        """The text encoder's config, with the size of the world's vocabulary."""
        vocab = vocabulary_size(vocabulary())
        return replace(self.recipe.text_encoder, vocab=vocab)

    def averaged(self, name: str, job: TrainingJob, plan: TrainingPlan) -> Params:
        """The averaged parameters of a run's newest state. Raises a ValueError if there
        is none."""
        states = saved.steps(self.folder / name)
        if not states:
            raise ValueError(
                f"{self.folder / name} holds no training state: run "
                f"`python -m chorus_jax.training {name}` first"
            )
        like = jax.eval_shape(lambda: start(job, plan))
        state: State = saved.restore(states[-1], like)
        return state.average

    def finished_vae(self, dtype: str) -> WanVAE:
        """The VAE in `vae_model/`, written from the newest state if there is none."""
        folder = self.folder / "vae_model"
        if not folder.exists():
            params = self.averaged("vae", self.vae_job(), self.recipe.train_vae.plan)
            config = measured(self.recipe.vae, params, self.vae_clips)
            vae = stored_part(VAE, WanVAE, config, params, "float32")
            checkpoints.save(folder, {VAE: vae}, family=FAMILY)
        return checkpoints.load(folder, VAE, WanVAE, WanVAEConfig, dtype=dtype)

    def flow_averaged(self) -> Params:
        """The newest averaged parameters of transformer and text encoder."""
        return self.averaged("flow", self.flow_job(), self.recipe.train_flow.plan)

    def flow_parts(self, dtype: str) -> dict[str, Any]:
        """The newest transformer and text encoder, and the VAE."""
        job, params = self.flow_job(), self.flow_averaged()
        return {
            TRANSFORMER: stored_part(
                TRANSFORMER, WanDiT, job.transformer, params, dtype
            ),
            TEXT: stored_part(TEXT, T5Encoder, job.text_encoder, params, dtype),
            VAE: self.finished_vae(dtype),
        }


def compute_dtype() -> str:
    """bfloat16 where it is fast, float32 on a CPU."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def measured(config: WanVAEConfig, params: Params, clips: Clips) -> WanVAEConfig:
    """The config with the statistics of the latents that these parameters give."""
    vae = stored_part(VAE, WanVAE, config, params, "float32")

    def latents() -> Iterator[np.ndarray]:
        for number in range(MEASURED):
            yield np.asarray(raw_latents(vae, jnp.asarray(clips(number).video[None])))

    return with_statistics(config, np.concatenate(list(latents())))
