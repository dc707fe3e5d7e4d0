"""Sizes of the LTX-2 video VAE in diffusers' layout and in the makers' metadata; its
names are LTX-Video's.

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
    """The sizes in diffusers' vae/config.json.

    Raises ValueError for a VAE of another make, such as one with a diffusion decoder.
    """
    check(source, REQUIRED, "the VAE")
    down, up = tuple(source["downsample_type"]), tuple(source["upsample_type"])
    # What is said of all stages at once may be one value.
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
        # All of 2.0, none of 2.3.
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
        # diffusers turns all of the decoder's lists around but this one.
        up_by=up,
        encoder_padding=source["encoder_spatial_padding_mode"],
        decoder_padding=source["decoder_spatial_padding_mode"],
        dtype=dtype,
    )


def original_config(source: dict, dtype: str) -> LTXVAEConfig:
    """The sizes in the metadata of a single file (`config`, `vae`).

    Raises ValueError for a VAE of another make.
    """
    padding = source.get("spatial_padding_mode")
    # Without a field the makers have one kind of padding in each half.
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
