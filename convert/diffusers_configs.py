"""The config.json that diffusers and transformers expect, from our configs."""

from typing import Any

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.clip_image import CLIPImageConfig
from chorus_jax.nets.t5 import T5Config


def transformer(config: WanConfig) -> dict[str, Any]:
    """The config.json of diffusers' WanTransformer3DModel."""
    pictures = config.image_width is not None
    return {
        "_class_name": "WanTransformer3DModel",
        "patch_size": list(config.patch),
        "num_attention_heads": config.heads,
        "attention_head_dim": config.head_width,
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "text_dim": config.text_width,
        "freq_dim": config.time_width,
        "ffn_dim": config.mlp_width,
        "num_layers": config.depth,
        "cross_attn_norm": config.cross_norm,
        "qk_norm": "rms_norm_across_heads",
        "eps": config.epsilon,
        "image_dim": config.image_width,
        "added_kv_proj_dim": config.width if pictures else None,
        "pos_embed_seq_len": config.image_positions,
        "rope_max_seq_len": 1024,
    }


def vae(config: WanVAEConfig) -> dict[str, Any]:
    """The config.json of diffusers' AutoencoderKLWan."""
    return {
        "_class_name": "AutoencoderKLWan",
        "base_dim": config.width,
        "z_dim": config.latent_channels,
        "dim_mult": list(config.multipliers),
        "num_res_blocks": config.depth,
        "attn_scales": [],
        "temperal_downsample": list(config.halve_time),
        "dropout": 0.0,
        "latents_mean": list(config.latents_mean),
        "latents_std": list(config.latents_std),
    }


def residual_vae(config: WanResidualVAEConfig) -> dict[str, Any]:
    """The config.json of diffusers' AutoencoderKLWan for Wan 2.2 TI2V-5B."""
    return {
        **vae(config),
        "is_residual": True,
        "decoder_base_dim": config.decoder_width,
        "in_channels": config.patch_channels,
        "out_channels": config.patch_channels,
        "patch_size": config.pixels,
        "scale_factor_temporal": config.time_compression,
        "scale_factor_spatial": config.space_compression,
    }


def image_encoder(config: CLIPImageConfig) -> dict[str, Any]:
    """The config.json of transformers' CLIPVisionModel."""
    return {
        "architectures": ["CLIPVisionModel"],
        "model_type": "clip_vision_model",
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_width,
        "image_size": config.side,
        "patch_size": config.patch,
        "hidden_act": config.activation,
        "layer_norm_eps": config.epsilon,
        "dtype": config.dtype,
    }


def text_encoder(config: T5Config) -> dict[str, Any]:
    """The config.json of transformers' UMT5EncoderModel or T5EncoderModel."""
    kind = "UMT5" if config.relative_bias_every_layer else "T5"
    return {
        "architectures": [f"{kind}EncoderModel"],
        "model_type": kind.lower(),
        "d_model": config.width,
        "d_kv": config.head_width,
        "d_ff": config.mlp_width,
        "num_layers": config.depth,
        "num_heads": config.heads,
        "vocab_size": config.vocab,
        "feed_forward_proj": "gated-gelu",
        "relative_attention_num_buckets": config.buckets,
        "relative_attention_max_distance": config.max_distance,
        "layer_norm_epsilon": config.epsilon,
        "dtype": config.dtype,
    }
