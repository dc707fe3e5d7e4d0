"""The config.json files that diffusers expects for LTX-Video, from our configs."""

from typing import Any

from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig


def transformer(config: LTXConfig) -> dict[str, Any]:
    """The config.json of diffusers' LTXVideoTransformer3DModel."""
    return {
        "_class_name": "LTXVideoTransformer3DModel",
        "in_channels": config.in_channels,
        "out_channels": config.out_channels,
        "patch_size": 1,
        "patch_size_t": 1,
        "num_attention_heads": config.heads,
        "attention_head_dim": config.head_width,
        "cross_attention_dim": config.width,
        "num_layers": config.depth,
        "activation_fn": "gelu-approximate",
        "qk_norm": "rms_norm_across_heads",
        "norm_elementwise_affine": False,
        "norm_eps": config.block_epsilon,
        "caption_channels": config.text_width,
        "attention_bias": True,
        "attention_out_bias": True,
    }


def vae(config: LTXVAEConfig) -> dict[str, Any]:
    """The config.json of diffusers' AutoencoderKLLTXVideo."""
    folds = any(name not in ("conv", "none") for name in config.down)
    kind = "LTXVideo095DownBlock3D" if folds else "LTXVideoDownBlock3D"
    names = [name if name != "none" else "conv" for name in config.down]
    widths = list(config.encoder_widths)
    pairs = zip(config.decoder_widths[1:], config.up)
    factors = [max(factor, 1) for factor in config.up]
    return {
        "_class_name": "AutoencoderKLLTXVideo",
        "latent_channels": config.latent_channels,
        "block_out_channels": widths if folds else widths[:-1],
        "down_block_types": [kind] * len(config.down),
        "downsample_type": names,
        "spatio_temporal_scaling": [name != "none" for name in config.down],
        "layers_per_block": list(config.encoder_depths),
        "decoder_block_out_channels": [w * max(up, 1) for w, up in pairs][::-1],
        "decoder_layers_per_block": list(config.decoder_depths[::-1]),
        "decoder_spatio_temporal_scaling": [up > 0 for up in config.up][::-1],
        "decoder_inject_noise": list(config.decoder_noise[::-1]),
        "upsample_residual": [config.up_residual] * len(config.up),
        "upsample_factor": factors[::-1],
        "timestep_conditioning": config.timestep,
        "patch_size": config.patch,
        "patch_size_t": 1,
        "encoder_causal": True,
        "decoder_causal": config.decoder_causal,
    }
