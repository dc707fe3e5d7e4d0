"""Configs of the LTX-2 video VAE from diffusers' layout and original metadata.

The names of its tensors are the same as LTX-Video's (`ltx_vae`).

Source: huggingface/diffusers, models/autoencoders/autoencoder_kl_ltx2.py;
Lightricks/LTX-2, packages/ltx-core, ltx_core/model/video_vae.
"""

from dataclasses import replace

from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from convert import ltx_vae_config
from convert.ltx2 import check

REQUIRED = {
    **{"in_channels": 3, "out_channels": 3, "patch_size_t": 1},
    **{"scaling_factor": 1.0, "encoder_causal": True, "resnet_norm_eps": 1e-6},
    "timestep_conditioning": False,
}


def config(source: dict, dtype: str) -> LTXVAEConfig:
    """Our config from diffusers' vae/config.json.

    Raises:
        ValueError: for an unsupported VAE, such as one with a diffusion decoder.
    """
    check(source, REQUIRED, "the VAE")
    down, up = tuple(source["downsample_type"]), tuple(source["upsample_type"])
    # A field may have one value for all stages.
    every = lambda name, count: (
        tuple(value)
        if isinstance(value := source[name], list | tuple)
        else (value,) * count
    )
    scaled = every("spatio_temporal_scaling", len(down))
    decoder_scaled = every("decoder_spatio_temporal_scaling", len(up))
    noise = every("decoder_inject_noise", len(up) + 1)
    residual = every("upsample_residual", len(up))
    fixed = {
        "spatio_temporal_scaling": (True, scaled),
        "decoder_spatio_temporal_scaling": (True, decoder_scaled),
        "decoder_inject_noise": (False, noise),
        # True in all stages of 2.0, False in all stages of 2.3.
        "upsample_residual": (residual[0], residual),
    }
    for name, (expected, values) in fixed.items():
        if set(values) != {expected}:
            raise ValueError(
                f"the VAE has {name}={values}; supported is {expected} in all stages"
            )
    factors = tuple(source["upsample_factor"])[::-1]
    decoder = tuple(source["decoder_block_out_channels"])[::-1]
    return LTXVAEConfig(
        encoder_widths=(source["latent_channels"], *source["block_out_channels"]),
        encoder_depths=tuple(source["layers_per_block"]),
        down=down,
        decoder_widths=(decoder[0], *(w // f for w, f in zip(decoder, factors))),
        decoder_depths=tuple(source["decoder_layers_per_block"])[::-1],
        up=factors,
        up_residual=residual[0],
        decoder_noise=noise,
        timestep=False,
        decoder_causal=source["decoder_causal"],
        latent_channels=source["latent_channels"],
        patch=source["patch_size"],
        # diffusers lists all of the decoder's stages in reverse, except in this field.
        up_by=up,
        encoder_padding=source["encoder_spatial_padding_mode"],
        decoder_padding=source["decoder_spatial_padding_mode"],
        dtype=dtype,
    )


def original_config(source: dict, dtype: str) -> LTXVAEConfig:
    """Our config from the metadata of a single file (`config`, `vae`).

    Raises:
        ValueError: for an unsupported VAE.
    """
    padding = source.get("spatial_padding_mode")
    # The original code's defaults for encoder and decoder differ.
    usual = {"encoder": padding or "zeros", "decoder": padding or "reflect"}
    paddings = {
        f"{half}_padding": source.get(f"{half}_spatial_padding_mode", kind)
        for half, kind in usual.items()
    }
    plain = {
        key: value for key, value in source.items() if "spatial_padding" not in key
    }
    made = ltx_vae_config.original_config(
        {"encoder_base_channels": source["latent_channels"], **plain}, dtype
    )
    if made.timestep:
        raise ValueError(
            "the VAE has timestep_conditioning=True; supported is False for LTX-2"
        )
    boxes = made.up_by or ("spatiotemporal",) * len(made.up)
    return replace(made, **paddings, up_by=boxes)
