"""The stages of a recipe in one folder (`made.py`); a stopped stage resumes."""

import shutil
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from chorus_jax.checkpoints import Card
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.training import saved
from chorus_jax.training.assemble import euler_scheduler, stored_part, write_model
from chorus_jax.training.deadline import Deadline
from chorus_jax.training.encode import encode_clips
from chorus_jax.training.flow import TRANSFORMER
from chorus_jax.training.loop import TrainingJob, initial_state, train
from chorus_jax.training.made import Made
from chorus_jax.training.plan import TrainingPlan
from chorus_jax.training.teach import BATCH, teach
from chorus_jax.training.teacher import note_teacher
from chorus_jax.training.unpack import (
    check_sizes,
    flow_params,
    unpack_tokenizer,
    unpack_vae,
)


@dataclass(frozen=True)
class Runs(Made):
    """The stages of a training, which resume if they were stopped.

    Attributes:
        workers: number of processes that make clips; 0 for a thread of this one.
        save_minutes: minutes between saves.
        runs_at_once: number of the teacher's trajectories that are run in a batch.
    """

    workers: int = 0
    save_minutes: float = 5.0
    runs_at_once: int = BATCH

    def unpack(self, weights: Path) -> None:
        """Puts a finished model's parts into this folder, to be trained further.

        Parts that an earlier call has put there before it was stopped are kept. Raises
        a ValueError if the folder has a run already, or parts of another model, or if
        the model is of other sizes.
        """
        if saved.steps(self.folder / "flow"):
            raise ValueError(
                f"{self.folder} holds a run already: name a new folder with --out"
            )
        # Before anything is written. Configs are compared, not shapes, which can be
        # equal for other numbers of heads.
        check_sizes(weights, self.recipe.transformer, self.text_config())
        unpack_vae(weights, self.folder / "vae_model")
        unpack_tokenizer(weights, self.folder / "tokenizer")
        plan, sizes = self.recipe.train_flow.plan, self.recipe.transformer
        state = initial_state(flow_params(weights, sizes, plan.seed), plan)
        saved.save(self.folder / "flow", state, 0)

    def executor(self) -> Executor:
        """One thread, or `workers` processes if that is not 0."""
        if not self.workers:
            return ThreadPoolExecutor(1)
        # Spawned: a process that runs jax must not be forked.
        return ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"))

    def vae(self) -> None:
        """Trains the VAE, if `vae_model/` is not there yet."""
        if (self.folder / "vae_model").exists():
            return
        self.run(self.vae_job(), self.recipe.train_vae.plan, "vae", self.executor())

    def flow(self, deadline: Deadline | None = None) -> None:
        """Trains transformer and text encoder on the encoded clips."""
        plan = self.recipe.train_flow.plan
        self.run(self.flow_job(), plan, "flow", ThreadPoolExecutor(1), deadline)

    def teach(self, deadline: Deadline | None = None) -> None:
        """Records trajectories of the newest transformer, for `distill`; fewer if the
        deadline comes before all are made."""
        training, world = self.recipe.distill, self.recipe.world
        captions, at_once = self.captions(), self.runs_at_once
        model, taught = self.teacher(), self.taught
        teach(model, taught, captions, training, world, at_once, deadline)

    def distill(self, deadline: Deadline | None = None) -> None:
        """Trains the few-step student on the trajectories of `teach`."""
        job, plan = self.distill_job(), self.recipe.distill.plan
        if not saved.steps(self.folder / "distill"):
            note_teacher(self.folder / "distill", self.teacher().fingerprints)
        self.run(job, plan, "distill", ThreadPoolExecutor(1), deadline)

    def run(
        self,
        job: TrainingJob,
        plan: TrainingPlan,
        name: str,
        executor: Executor,
        deadline: Deadline | None = None,
    ) -> None:
        """Trains a job, with its states in the subfolder `name`."""
        folder, minutes = self.folder / name, self.save_minutes
        with executor:
            train(job, plan, folder, executor, minutes, deadline)

    def encode(self) -> None:
        """Writes `vae_model/` from the newest VAE if needed, and encodes the clips."""
        vae = self.finished_vae("float32")
        count = self.recipe.train_flow.clips
        with self.executor() as executor:
            encode_clips(vae, self.clips, self.encoded, count, executor)

    def assemble(self, dtype: str = "bfloat16") -> Card:
        """Writes `model/` anew from the newest averaged parameters.

        If there is a few-step student, it is added as a further transformer.
        """
        parts = self.flow_parts(dtype)
        if saved.steps(self.folder / "distill"):
            job, plan = self.distill_job(), self.recipe.distill.plan
            params = self.averaged("distill", job, plan)
            few = stored_part(TRANSFORMER, WanDiT, job.transformer, params, dtype)
            parts[f"{TRANSFORMER}_{len(self.recipe.distill.sigmas)}step"] = few
        target = self.folder / "model"
        if target.exists():
            shutil.rmtree(target)
        scheduler = euler_scheduler(self.recipe.distill.shift)
        return write_model(target, parts, self.folder / "tokenizer", scheduler)
