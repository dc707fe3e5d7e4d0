"""The published LTX-2 models without weights."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from chorus_jax.checkpoints import Card
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.ltx2.audio_vae import AudioVAE, AudioVAEConfig
from chorus_jax.families.ltx2.band_vocoder import BandVocoder, BandVocoderConfig
from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.connectors import ConnectorsConfig, LTX2Connectors
from chorus_jax.families.ltx2.transformer import LTX2DiT
from chorus_jax.families.ltx2.variants import PUBLISHED
from chorus_jax.families.ltx2.vocoder import Vocoder, VocoderConfig
from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from chorus_jax.families.outlines import made_card
from chorus_jax.nets.gemma import GemmaConfig, GemmaEncoder


def card_of(name: str) -> Card:
    """The card of a published model; its dtypes are those of a conversion."""
    later = name.startswith("LTX-2.3")
    parts: dict[str, tuple[type, Any]] = {
        TRANSFORMER: (LTX2DiT, LTX2Config.b22() if later else LTX2Config.b19()),
        "vae": (LTXVAE, (LTXVAEConfig.v23 if later else LTXVAEConfig.v2)("float32")),
        "text_encoder": (GemmaEncoder, GemmaConfig.b12()),
        "connectors": (
            LTX2Connectors,
            ConnectorsConfig.b22() if later else ConnectorsConfig.b19(),
        ),
        "audio_vae": (AudioVAE, AudioVAEConfig()),
        "vocoder": (
            (BandVocoder, BandVocoderConfig()) if later else (Vocoder, VocoderConfig())
        ),
    }
    return made_card("ltx2", parts, {})


CARDS: Mapping[str, Callable[[], Card]] = {
    name: partial(card_of, name) for name in PUBLISHED
}
