"""The parts of LTX-2: the class, layouts and rules of each."""

from collections.abc import Mapping
from typing import Any

from chorus_jax.families.ltx2.audio_vae import AudioVAE, AudioVAEConfig
from chorus_jax.families.ltx2.band_vocoder import BandVocoder, BandVocoderConfig
from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.connectors import ConnectorsConfig, LTX2Connectors
from chorus_jax.families.ltx2.transformer import LTX2DiT
from chorus_jax.families.ltx2.vocoder import Vocoder, VocoderConfig
from chorus_jax.families.ltx_shared.upsampler import LTXUpsampler, UpsamplerConfig
from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from chorus_jax.nets.gemma import GemmaConfig, GemmaEncoder
from convert import (
    gemma,
    ltx2,
    ltx2_audio,
    ltx2_audio_configs,
    ltx2_connectors,
    ltx2_vae,
    ltx_upsampler,
    ltx_vae,
)
from convert.family import Kind, Layout
from convert.source import DIFFUSERS, ORIGINAL


def refuse(config: Any) -> dict[str, Any]:
    """Raises a ValueError, because LTX-2 cannot be exported to diffusers' layout."""
    raise ValueError(
        "LTX-2 is not exported: diffusers' LTX2Pipeline loads the whole of Gemma 3, "
        "of which only what reads words is kept here; use the weights that this folder "
        "was converted from"
    )


def _kind(
    model: type,
    config: type,
    layout: Layout,
    original: Layout | None = None,
    library: str = "diffusers",
    name: str = "",
    **others: Any,
) -> Kind:
    stem = "model" if library == "transformers" else "diffusion_pytorch_model"
    layouts = {DIFFUSERS: layout, **({ORIGINAL: original} if original else {})}
    return Kind(
        model,
        config,
        layouts,
        library,
        name or str(layout.name),
        stem,
        refuse,
        **others,
    )


LTX2: Mapping[str, Kind] = {
    "transformer": _kind(
        LTX2DiT,
        LTX2Config,
        Layout(lambda _: ltx2.DIFFUSERS, ltx2.config, "LTX2VideoTransformer3DModel"),
        Layout(lambda _: ltx2.ORIGINAL, ltx2.original_config),
    ),
    "vae": _kind(
        LTXVAE,
        LTXVAEConfig,
        Layout(ltx_vae.diffusers, ltx2_vae.config, "AutoencoderKLLTX2Video"),
        Layout(ltx_vae.original, ltx2_vae.original_config),
    ),
    "text_encoder": _kind(
        GemmaEncoder,
        GemmaConfig,
        Layout(lambda _: gemma.RULES, gemma.config),
        library="transformers",
        name="Gemma3ForConditionalGeneration",
    ),
    "connectors": _kind(
        LTX2Connectors,
        ConnectorsConfig,
        Layout(
            lambda _: ltx2_connectors.DIFFUSERS,
            ltx2_connectors.config,
            "LTX2TextConnectors",
        ),
        Layout(
            lambda _: ltx2_connectors.ORIGINAL,
            ltx2_connectors.original_config,
        ),
        library="ltx2",
    ),
    "audio_vae": _kind(
        AudioVAE,
        AudioVAEConfig,
        Layout(
            ltx2_audio.audio_vae, ltx2_audio.audio_vae_config, "AutoencoderKLLTX2Audio"
        ),
        Layout(ltx2_audio_configs.audio_vae, ltx2_audio_configs.audio_vae_config),
    ),
    "vocoder": _kind(
        Vocoder,
        VocoderConfig,
        Layout(ltx2_audio.vocoder, ltx2_audio.vocoder_config, "LTX2Vocoder"),
        Layout(ltx2_audio_configs.vocoder, ltx2_audio_configs.vocoder_config),
        library="ltx2",
        others=(
            _kind(
                BandVocoder,
                BandVocoderConfig,
                Layout(
                    ltx2_audio.band_vocoder,
                    ltx2_audio.band_vocoder_config,
                    "LTX2VocoderWithBWE",
                ),
                Layout(
                    ltx2_audio_configs.band_vocoder,
                    ltx2_audio_configs.band_vocoder_config,
                ),
                library="ltx2",
                marker=ltx2_audio.BAND_MARKER,
            ),
        ),
    ),
    # Upsamples latents for a second pass.
    "latent_upsampler": _kind(
        LTXUpsampler,
        UpsamplerConfig,
        Layout(ltx_upsampler.rules, ltx_upsampler.config, "LTX2LatentUpsamplerModel"),
        Layout(ltx_upsampler.rules, ltx_upsampler.config, "LatentUpsampler"),
        library="ltx2",
    ),
}
