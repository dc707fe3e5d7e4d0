"""A recipe: the world, the sizes of the models and how each is trained."""

from dataclasses import dataclass

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config
from chorus_jax.training.plan import TrainingPlan
from chorus_jax.training.world.scene import World


@dataclass(frozen=True)
class VaeTraining:
    """The training of the VAE, on crops of clips.

    Attributes:
        plan: the optimisation.
        frames: frames of a crop.
        side: height and width of a crop, in pixels.
        fine: the weight of the error above the blur of a texture, beside the mean
            absolute error, which has 1.
        kl: the weight of the divergence of the posterior from a standard normal
            distribution.
        world: the clips that are cropped.
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
        clips: how many are encoded before.
        shift: noise levels are uniform, then shifted by this; the sampler's, which is
            in `DistillTraining`, may be another one.
        unconditional: the share of captions that are dropped, for guidance.
        scales: side lengths of the squares over which the error is averaged before it
            counts, in latents.
        structure: the weight of the error of what clips show without texture (see
            `structure.py`).
        naming: the weight of the error of their attributes' names (see `naming.py`).
        near: how much more the error near objects weighs at little noise (see
            `nearby.py`).
    """

    plan: TrainingPlan
    clips: int
    shift: float = 3.0
    unconditional: float = 0.1
    scales: tuple[int, ...] = (1, 2, 4)
    structure: float = 2.0
    naming: float = 0.1
    near: float = 0.0


@dataclass(frozen=True)
class DistillTraining:
    """The training of a student that takes few steps.

    Attributes:
        plan: the optimisation.
        trajectories: how many of the teacher's it learns from.
        sigmas: the noise levels at which its steps start, from 1 down, before the
            shift.
        parts: guided steps that the teacher takes for each of them.
        guidance_scale: the teacher's.
        shift: of both.
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
        world: the size of its videos and of what they show.
        vae: its sizes; its statistics are those of an untrained one, since the trained
            one measures its own.
        text_encoder: its sizes; the vocabulary is set from the world's words.
        transformer: its sizes.
        train_vae: the first stage.
        train_flow: the second stage.
        distill: the third stage.
        pairs: the share of clips with two objects, 0 to 1.
        seed: that of the clips.
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
