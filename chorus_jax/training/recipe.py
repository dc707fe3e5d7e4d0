"""A recipe: the world, the sizes of the models and how each is trained."""

from dataclasses import dataclass

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config
from chorus_jax.training.plan import TrainingPlan
from chorus_jax.training.world.scene import World


@dataclass(frozen=True)
class VaeTraining:
    """Crops of `frames` and `side` pixels of clips of `world` train the VAE.

    `fine` weighs the error above the blur of a texture, `kl` the divergence of the
    posterior from a standard normal distribution, both beside the mean absolute error.
    """

    plan: TrainingPlan
    frames: int = 17
    side: int = 32
    fine: float = 2.0
    kl: float = 3e-4
    world: World = World()


@dataclass(frozen=True)
class FlowTraining:
    """`unconditional` is the share of captions that are dropped for guidance.

    Noise levels are uniform, then shifted by `shift`, which need not be the sampler's
    (that is in `DistillTraining`). `clips` are encoded before. The error counts at
    these `scales`, in latents. `structure` and `naming` weigh the errors of what is
    read off the models beside it (see the files of these names). `near` is what the
    error near objects weighs more at little noise (see `nearby.py`).
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
    """A student's steps start at `sigmas` (from 1 down, before the shift).

    It learns from `trajectories` of the teacher, which takes `parts` guided steps for
    each of them. The error counts at these `scales`, as in `FlowTraining`.
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
    """All of a small Wan; `pairs` is the share of clips with two objects.

    The statistics in `vae` are those of an untrained one: the trained one measures its
    own. The text encoder's vocabulary is set from the world's words.
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
