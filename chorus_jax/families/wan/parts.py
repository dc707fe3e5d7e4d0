"""The parts of a Wan checkpoint: their possible classes, and their names."""

from collections.abc import Mapping

from chorus_jax.checkpoints import Card
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.experts import LOW
from chorus_jax.families.wan.residual_vae import WanResidualVAE
from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.clip_image import CLIPImageConfig, CLIPImageEncoder
from chorus_jax.nets.t5 import T5Config, T5Encoder

IMAGE = "image_encoder"

Classes = tuple[type, type]  # of the module and of its config

CHOICES: Mapping[str, tuple[Classes, ...]] = {
    TRANSFORMER: ((WanDiT, WanConfig),),
    "vae": ((WanVAE, WanVAEConfig), (WanResidualVAE, WanResidualVAEConfig)),
    "text_encoder": ((T5Encoder, T5Config),),
    LOW: ((WanDiT, WanConfig),),
    IMAGE: ((CLIPImageEncoder, CLIPImageConfig),),
}
OPTIONAL = (LOW, IMAGE)  # parts that only some models have

# The parts of every model, as Wan 2.1 text-to-video has them.
PARTS = {name: kinds[0] for name, kinds in CHOICES.items() if name not in OPTIONAL}


def parts_of(card: Card, transformer: str = TRANSFORMER) -> dict[str, Classes]:
    """The parts that are loaded, and the classes of each.

    Args:
        card: the folder's card.
        transformer: the part that is run as the transformer. A replacement of the usual
            one runs all steps, so the low-noise expert is not loaded.

    Raises:
        ValueError: if the folder lacks a part that every model has.
    """
    stored, parts = stored_names(transformer), {}
    for name, kinds in CHOICES.items():
        replaced = name == LOW and transformer != TRANSFORMER
        if name in OPTIONAL and (replaced or name not in card.parts):
            continue
        model = card.part(stored[name]).model
        fitting = (classes for classes in kinds if classes[0].__name__ == model)
        # For a part of another class `checkpoints.load` says what is wrong.
        parts[name] = next(fitting, kinds[0])
    return parts


def fingerprints_of(card: Card, transformer: str = TRANSFORMER) -> dict[str, str]:
    """The fingerprint of each part that is loaded (see `parts_of`)."""
    stored = stored_names(transformer)
    loaded = parts_of(card, transformer)
    return {name: card.part(stored[name]).fingerprint for name in loaded}


def stored_names(transformer: str = TRANSFORMER) -> dict[str, str]:
    """The name in a checkpoint folder of each of `CHOICES`."""
    return {**{name: name for name in CHOICES}, TRANSFORMER: transformer}
