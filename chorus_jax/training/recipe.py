"""A recipe: the world, the sizes of the models and how each is trained."""

from dataclasses import dataclass

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config
from chorus_jax.training.emphasis import Emphasis
from chorus_jax.training.plan import TrainingPlan
from chorus_jax.training.world.scene import World


@dataclass(frozen=True)
class VaeTraining:
    """The training of the VAE, on crops of clips.

    Attributes:
        plan: the optimisation.
        frames: frames of a crop.
        side: height and width of a crop, in pixels.
        fine: the weight of the error's fine part, which a blur removes; the mean
            absolute error has a weight of 1.
        kl: the weight of the divergence of the posterior from a standard normal
            distribution.
        world: the world of the clips that are cropped.
    """

    plan: TrainingPlan
    frames: int = 17
    side: int = 32
    fine: float = 2.0
    kl: float = 3e-4
    world: World = World()


@dataclass(frozen=True)
class FlowTraining:
    """The training of the transformer and the text encoder.

    Attributes:
        plan: the optimisation.
        clips: number of clips, which are encoded before.
        shift: the shift of the noise levels, which are uniform before it. The sampler's
            shift (`DistillTraining.shift`) may differ.
        unconditional: the share of captions that are dropped, for guidance.
        scales: side lengths in latents. For each, the error is averaged over squares of
            this side and then squared; the loss is the mean over all scales.
        structure: the weight of the error of structure targets (see `structure.py`).
        naming: the weight of the error of naming targets (see `naming.py`).
        near: additional weight of the error near objects at low noise levels (see
            `nearby.py`).
        emphases: values of attributes whose clips are drawn more often.
    """

    plan: TrainingPlan
    clips: int
    shift: float = 3.0
    unconditional: float = 0.1
    scales: tuple[int, ...] = (1, 2, 4)
    structure: float = 2.0
    naming: float = 0.1
    near: float = 0.0
    emphases: tuple[Emphasis, ...] = ()


@dataclass(frozen=True)
class DistillTraining:
    """The training of a student that takes few steps.

    Attributes:
        plan: the optimisation.
        trajectories: number of the teacher's trajectories that it learns from.
        sigmas: the noise levels at which the student's steps start, from 1 down, before
            the shift.
        parts: guided steps of the teacher per step of the student.
        guidance_scale: the teacher's guidance scale.
        shift: the shift of the noise levels, for teacher and student.
        scales: as in `FlowTraining`.
    """

    plan: TrainingPlan
    trajectories: int
    sigmas: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    parts: int = 5
    guidance_scale: float = 3.0
    shift: float = 3.0
    scales: tuple[int, ...] = (1, 2, 4)


@dataclass(frozen=True)
class TrainingRecipe:
    """A small Wan and its training.

    Attributes:
        world: the size of its videos and of their objects.
        vae: the VAE's config; its latents' statistics are placeholders, measured once
            it is trained.
        text_encoder: its config; the vocabulary is set from the world's words.
        transformer: its config.
        train_vae: the first stage.
        train_flow: the second stage.
        distill: the third stage.
        pairs: the share of clips with two objects, 0 to 1.
        seed: the seed of the clips.
    """

    world: World
    vae: WanVAEConfig
    text_encoder: T5Config
    transformer: WanConfig
    train_vae: VaeTraining
    train_flow: FlowTraining
    distill: DistillTraining
    pairs: float = 0.0
    seed: int = 0
