"""The published LTX-Video models without weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from chorus_jax.checkpoints import Card
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.versions import VERSIONS
from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from chorus_jax.families.outlines import made_card
from chorus_jax.nets.t5 import T5Config, T5Encoder

EARLY = {"0.9.0": LTXVAEConfig.v090, "0.9.1": LTXVAEConfig.v091}


def card_of(size: str, version: str) -> Card:
    """The card of a published model; its dtypes are those of a conversion."""
    later = version not in EARLY
    config = LTXConfig.b13() if size == "13B" else LTXConfig.b2()
    vae = EARLY.get(version, LTXVAEConfig.v095)("float32")
    parts = {
        TRANSFORMER: (LTXDiT, replace(config, causal_positions=later)),
        "vae": (LTXVAE, vae),
        "text_encoder": (T5Encoder, T5Config.t5_xxl()),
    }
    return made_card("ltx", parts, {"version": version})


CARDS: Mapping[str, Callable[[], Card]] = {
    f"LTX-Video {size} {version}": partial(card_of, size, version)
    for size, versions in VERSIONS.items()
    for version in versions
}
