"""The parts of LTX-Video: the class, layouts and rules of each."""

from collections.abc import Mapping

from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx_shared.upsampler import LTXUpsampler, UpsamplerConfig
from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from chorus_jax.nets.t5 import T5Config, T5Encoder
from convert import (
    diffusers_configs,
    ltx,
    ltx_configs,
    ltx_upsampler,
    ltx_vae,
    ltx_vae_config,
    t5,
)
from convert.family import Kind, Layout
from convert.source import DIFFUSERS, ORIGINAL

LTX: Mapping[str, Kind] = {
    "transformer": Kind(
        LTXDiT,
        LTXConfig,
        {
            DIFFUSERS: Layout(
                lambda _: ltx.DIFFUSERS, ltx.config, "LTXVideoTransformer3DModel"
            ),
            ORIGINAL: Layout(
                lambda _: ltx.ORIGINAL, ltx.original_config, "Transformer3DModel"
            ),
        },
        library="diffusers",
        name="LTXVideoTransformer3DModel",
        stem="diffusion_pytorch_model",
        export=ltx_configs.transformer,
    ),
    "vae": Kind(
        LTXVAE,
        LTXVAEConfig,
        {
            DIFFUSERS: Layout(
                ltx_vae.diffusers, ltx_vae_config.config, "AutoencoderKLLTXVideo"
            ),
            ORIGINAL: Layout(
                ltx_vae.original,
                ltx_vae_config.original_config,
                "CausalVideoAutoencoder",
            ),
        },
        library="diffusers",
        name="AutoencoderKLLTXVideo",
        stem="diffusion_pytorch_model",
        export=ltx_configs.vae,
    ),
    # Upsamples latents for a second pass.
    "latent_upsampler": Kind(
        LTXUpsampler,
        UpsamplerConfig,
        {
            DIFFUSERS: Layout(
                ltx_upsampler.rules, ltx_upsampler.config, "LTXLatentUpsamplerModel"
            ),
            ORIGINAL: Layout(
                ltx_upsampler.rules, ltx_upsampler.config, "LatentUpsampler"
            ),
        },
        library="diffusers",
        name="LTXLatentUpsamplerModel",
        stem="diffusion_pytorch_model",
        export=ltx_upsampler.exported,
    ),
    "text_encoder": Kind(
        T5Encoder,
        T5Config,
        {DIFFUSERS: Layout(lambda _: t5.DIFFUSERS, t5.config)},
        library="transformers",
        name="T5EncoderModel",
        stem="model",
        export=diffusers_configs.text_encoder,
    ),
}
