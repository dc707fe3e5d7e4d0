"""The published Wan models without weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from chorus_jax.checkpoints import Card
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.outlines import Outline, abstract_parts, made_card
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.experts import LOW
from chorus_jax.families.wan.model import WanModel
from chorus_jax.families.wan.parts import IMAGE, parts_of, stored_names
from chorus_jax.families.wan.residual_vae import WanResidualVAE
from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from chorus_jax.families.wan.sizes import EXPANDED, Sizes
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.families.wan.variants import RELEASED, Variant
from chorus_jax.nets.clip_image import CLIPImageConfig, CLIPImageEncoder
from chorus_jax.nets.t5 import T5Config, T5Encoder
from chorus_jax.text.prompts import Tokenizer

SMALL, BIG = WanConfig.t2v_1_3b(), WanConfig.t2v_14b()
I2V = replace(BIG, in_channels=36, image_width=CLIPImageConfig.vit_h_14().width)
TRANSFORMERS: Mapping[str, WanConfig] = {
    "Wan 2.1 T2V-1.3B": SMALL,
    "Wan 2.1 T2V-14B": BIG,
    "Wan 2.1 I2V-14B-480P": I2V,
    "Wan 2.1 I2V-14B-720P": I2V,
    # Two images of 257 tokens.
    "Wan 2.1 FLF2V-14B-720P": replace(I2V, image_positions=514),
    "Wan 2.2 T2V-A14B": BIG,
    "Wan 2.2 I2V-A14B": replace(BIG, in_channels=36),
    "Wan 2.2 TI2V-5B": WanConfig(24, 30, 14336, in_channels=48, out_channels=48),
}
OLD_VAE = (WanVAE, WanVAEConfig.wan21("float32"))
NEW_VAE = (WanResidualVAE, WanResidualVAEConfig.wan22("float32"))


def card_of(variant: Variant) -> Card:
    """The card of a published model; its dtypes are those of a conversion."""
    config = TRANSFORMERS[variant.name]
    parts: dict[str, tuple[type, Any]] = {
        TRANSFORMER: (WanDiT, config),
        "vae": NEW_VAE if config.out_channels == 48 else OLD_VAE,
        "text_encoder": (T5Encoder, T5Config.umt5_xxl()),
    }
    if variant.boundary is not None:
        parts[LOW] = (WanDiT, config)
    if config.image_width is not None:
        parts[IMAGE] = (CLIPImageEncoder, CLIPImageConfig.vit_h_14())
    expanded = variant.name == "Wan 2.2 TI2V-5B"
    settings = {"boundary_ratio": variant.boundary, EXPANDED: expanded}
    return made_card("wan", parts, settings)


CARDS: Mapping[str, Callable[[], Card]] = {
    variant.name: partial(card_of, variant) for variant in RELEASED
}


def outline(card: Card, transformer: str = TRANSFORMER) -> Outline:
    """The model of a card with shapes in place of weights."""
    stored, classes = stored_names(transformer), parts_of(card, transformer)
    parts: Mapping[str, Any] = abstract_parts(card, classes, stored)

    def assemble(
        parts: Mapping[str, Any], tokenizer: Tokenizer, options: LoadOptions
    ) -> WanModel:
        return WanModel.assembled(card, parts, tokenizer, options)

    sizes = Sizes(**{name: part.config for name, part in parts.items()})
    config = sizes.transformer
    two = config.image_positions is not None
    return Outline(parts, config.text_limit, assemble, sizes.conditioned, two)
