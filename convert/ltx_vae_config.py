"""Configs of the LTX-Video VAE from diffusers' config.json or original metadata.

Source: huggingface/diffusers, models/autoencoders/autoencoder_kl_ltx.py;
Lightricks/LTX-Video, ltx_video/models/autoencoders/causal_video_autoencoder.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig

DOWN = {
    "LTXVideoDownBlock3D": ("conv",),
    "LTXVideo095DownBlock3D": ("spatial", "temporal", "spatiotemporal"),
}
# The original names of downsampling layers, and ours.
SHRINKS = {
    "compress_all": "conv",
    "compress_space_res": "spatial",
    "compress_time_res": "temporal",
    "compress_all_res": "spatiotemporal",
}
# The original names of upsampling layers, and ours.
GROWS = {
    "compress_all": "spatiotemporal",
    "compress_space": "spatial",
    "compress_time": "temporal",
}
FIXED = {
    **{"in_channels": 3, "out_channels": 3, "patch_size_t": 1},
    **{"scaling_factor": 1.0, "encoder_causal": True, "resnet_norm_eps": 1e-6},
}
FIXED_ORIGINAL = {
    **{"in_channels": 3, "out_channels": 3, "dims": 3, "scaling_factor": 1.0},
    **{"norm_layer": "pixel_norm", "latent_log_var": "uniform"},
    **{"use_quant_conv": False, "spatial_padding_mode": "zeros"},
    **{"normalize_latent_channels": False},
}

Blocks = Sequence[tuple[str, Mapping[str, Any]]]


def config(source: dict, dtype: str) -> LTXVAEConfig:
    """Our config from diffusers' vae/config.json.

    Raises:
        ValueError: for an unsupported VAE.
    """
    _check(source, FIXED)
    if len(set(source["upsample_residual"])) > 1:
        raise ValueError(
            "the VAE adds what it doubles in some stages of its decoder, got "
            f"upsample_residual={source['upsample_residual']}; supported is all or none"
        )
    down = _down(source)
    widths, count = list(source["block_out_channels"]), len(down)
    decoder = source["decoder_block_out_channels"][::-1]
    scaled = source["decoder_spatio_temporal_scaling"][::-1]
    factors = source["upsample_factor"][::-1]
    stages = list(zip(decoder, scaled, factors, strict=True))
    return LTXVAEConfig(
        encoder_widths=tuple(widths + widths[-1:] * (count + 1 - len(widths))),
        encoder_depths=tuple(source["layers_per_block"]),
        down=down,
        decoder_widths=(decoder[0], *(width // by for width, _, by in stages)),
        decoder_depths=tuple(source["decoder_layers_per_block"][::-1]),
        up=tuple(factor if on else 0 for _, on, factor in stages),
        up_residual=bool(source["upsample_residual"][0]),
        decoder_noise=tuple(source["decoder_inject_noise"][::-1]),
        timestep=source["timestep_conditioning"],
        decoder_causal=source["decoder_causal"],
        latent_channels=source["latent_channels"],
        patch=source["patch_size"],
        dtype=dtype,
    )


def original_config(source: dict, dtype: str) -> LTXVAEConfig:
    """Our config from the metadata of a single file (`config`, `vae`).

    Raises:
        ValueError: for an unsupported VAE.
    """
    _check(source, FIXED_ORIGINAL)
    blocks = source.get("blocks")
    return LTXVAEConfig(
        **_encoder(
            _blocks(source.get("encoder_blocks", blocks)),
            source.get("encoder_base_channels", 128),
        ),
        **_decoder(
            _blocks(source.get("decoder_blocks", blocks))[::-1],
            source.get("decoder_base_channels", 128),
        ),
        timestep=source.get("timestep_conditioning", False),
        decoder_causal=source.get("causal_decoder", False),
        latent_channels=source["latent_channels"],
        patch=source["patch_size"],
        dtype=dtype,
    )


def _check(source: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    for key, expected in fixed.items():
        value = source.get(key, expected)
        if value != expected:
            raise ValueError(f"the VAE has {key}={value!r}; supported is {expected!r}")


def _down(source: dict) -> tuple[str, ...]:
    kinds = source.get("down_block_types") or ["LTXVideoDownBlock3D"]
    kind = kinds[-1]
    if kind not in DOWN or len(set(kinds)) > 1:
        raise ValueError(
            f"the VAE has down_block_types={kinds}; supported is one of "
            f"{', '.join(DOWN)} in all stages"
        )
    names = source["downsample_type"] if "095" in kind else ["conv"] * 99
    names = [
        name if on else "none"
        for name, on in zip(names, source["spatio_temporal_scaling"])
    ]
    if not set(names) <= {*DOWN[kind], "none"}:
        raise ValueError(f"the VAE shrinks by {names}; supported is {DOWN[kind]}")
    return tuple(names)


def _blocks(listed: Any) -> Blocks:
    """The original list of blocks, normalised to a name and settings for each."""
    if not listed:
        raise ValueError("the VAE's config lists no blocks of its encoder or decoder")
    return [
        (name, value if isinstance(value, dict) else {"num_layers": value})
        for name, value in listed
    ]


def _encoder(blocks: Blocks, width: int) -> dict[str, Any]:
    widths = [width]
    depths: list[int] = []
    down: list[str] = []
    for name, settings in blocks:
        if name == "res_x":
            if len(depths) > len(down):
                widths.append(widths[-1])
                down.append("none")
            depths.append(settings["num_layers"])
        elif name in SHRINKS and len(depths) == len(down) + 1:
            factor = 1 if name == "compress_all" else settings.get("multiplier", 2)
            widths.append(widths[-1] * factor)
            down.append(SHRINKS[name])
        elif name == "res_x_y" and len(depths) == len(down) and down[-1:] == ["conv"]:
            widths[-1] *= settings.get("multiplier", 2)
        else:
            raise _unknown("encoder", name, blocks)
    if len(depths) != len(down) + 1:
        raise _unknown("encoder", "no blocks at the end", blocks)
    return {
        "encoder_widths": tuple(widths),
        "encoder_depths": tuple(depths),
        "down": tuple(down),
    }


def _decoder(blocks: Blocks, last: int) -> dict[str, Any]:
    """The decoder's sizes, from its blocks in the order in which they run."""
    narrowing = {"res_x_y": 2, **dict.fromkeys(GROWS, 1)}
    width = last
    for name, settings in blocks:
        width *= settings.get("multiplier", narrowing.get(name, 1))
    widths: list[int] = []
    depths: list[int] = []
    noise: list[bool] = []
    up: list[int] = []
    up_by: list[str] = []
    residual: set[bool] = set()
    factor, box = 0, "none"
    for place, (name, settings) in enumerate(blocks):
        if name == "res_x":
            widths.append(width)
            depths.append(settings["num_layers"])
            noise.append(bool(settings.get("inject_noise", False)))
            up += [factor] * (place > 0)
            up_by += [box] * (place > 0)
            factor, box = 0, "none"
        elif name in GROWS and widths and not factor:
            factor, box = settings.get("multiplier", 1), GROWS[name]
            # The other layers never have a residual; their setting is ignored.
            adds = name == "compress_all" and settings.get("residual", False)
            residual.add(bool(adds))
            width //= factor
        elif name == "res_x_y" and widths and not factor:
            width //= settings.get("multiplier", 2)
        else:
            raise _unknown("decoder", name, blocks)
    if factor or len(residual) > 1:
        raise _unknown("decoder", "residual in some stages", blocks)
    return {
        "decoder_widths": tuple(widths),
        "decoder_depths": tuple(depths),
        "decoder_noise": tuple(noise),
        "up": tuple(up),
        "up_residual": residual == {True},
        "up_by": () if set(up_by) <= {"none", "spatiotemporal"} else tuple(up_by),
    }


def _unknown(half: str, name: str, blocks: Blocks) -> ValueError:
    names = ", ".join(name for name, _ in blocks)
    return ValueError(
        f"the VAE's {half} has blocks in an order that is not run here ({name}): "
        f"{names}; supported are those of LTX-Video 0.9.0 to 0.9.8, LTX-2 and 2.3"
    )
