"""Rules for the VAE of Wan 2.2 TI2V-5B in diffusers' layout and the original file.

In diffusers it has `is_residual` in its config; the original file is `Wan2.2_VAE.pth`
(Wan-Video/Wan2.2, wan/modules/vae2_2.py).
"""

from collections.abc import Iterator
from dataclasses import replace

from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from convert.rules import Rule
from convert.wan_vae import (
    PLANE,
    PLANE_AND_TIME,
    RESIDUAL,
    BlockNames,
    middle,
    original_rules_of,
    rules_of,
)

REQUIRED = (
    *("base_dim", "decoder_base_dim", "dim_mult", "num_res_blocks", "patch_size"),
    *("temperal_downsample", "latents_mean", "latents_std"),
)


def diffusers(sizes: WanResidualVAEConfig) -> tuple[Rule, ...]:
    """Rules for the names of diffusers' AutoencoderKLWan."""
    return rules_of(_blocks(sizes))


def original(sizes: WanResidualVAEConfig) -> tuple[Rule, ...]:
    """Rules for the names in `Wan2.2_VAE.pth`."""
    return original_rules_of(_blocks(sizes))


def original_config(source: dict, dtype: str) -> WanResidualVAEConfig:
    """Our config of the original release, which has no config file.

    `source` holds the widths inferred from its tensors (`inferred.vae`).
    """
    widths = {"width": source["base_dim"], "decoder_width": source["decoder_base_dim"]}
    return replace(WanResidualVAEConfig.wan22(dtype), **widths)


def config(source: dict, dtype: str) -> WanResidualVAEConfig:
    """Our config from diffusers' vae/config.json.

    Raises:
        ValueError: if a field is missing or has an unsupported value; the channels must
            be RGB patches.
    """
    missing = [key for key in REQUIRED if source.get(key) is None]
    if missing:
        raise ValueError(f"the VAE's config lacks {', '.join(missing)}")
    channels = 3 * source["patch_size"] ** 2
    fixed = {
        **{"attn_scales": [], "in_channels": channels, "out_channels": channels},
        "z_dim": len(source["latents_mean"]),
    }
    for key, expected in fixed.items():
        if source.get(key, expected) != expected:
            raise ValueError(
                f"the VAE has {key}={source[key]!r}; supported is {expected!r}"
            )
    return WanResidualVAEConfig(
        width=source["base_dim"],
        multipliers=tuple(source["dim_mult"]),
        depth=source["num_res_blocks"],
        halve_time=tuple(source["temperal_downsample"]),
        latents_mean=tuple(source["latents_mean"]),
        latents_std=tuple(source["latents_std"]),
        dtype=dtype,
        decoder_width=source["decoder_base_dim"],
        pixels=source["patch_size"],
    )


def _blocks(sizes: WanResidualVAEConfig) -> Iterator[BlockNames]:
    for half in ("encoder", "decoder"):
        yield from middle(half)
    yield from _stages(sizes)


def _stages(sizes: WanResidualVAEConfig) -> Iterator[BlockNames]:
    down = (*sizes.halve_time, None)
    up = (*reversed(sizes.halve_time), None)
    for half, published, resample, depth, times in (
        ("encoder", "down_blocks", "downsampler", sizes.depth, down),
        ("decoder", "up_blocks", "upsampler", sizes.depth + 1, up),
    ):
        for s, time in enumerate(times):
            here, there = f"{half}.stages.{s}.main", f"{half}.{published}.{s}"
            # The original numbers a stage's blocks and its resampling in one list.
            old = f"{half}.{resample[:-2]}es.{s}.{resample[:-2]}es"
            for j in range(depth):
                name = f"{there}.resnets.{j}"
                yield BlockNames(RESIDUAL, f"{here}.blocks.{j}", name, f"{old}.{j}")
            if time is not None:
                layers = PLANE_AND_TIME if time else PLANE
                name = f"{there}.{resample}"
                yield BlockNames(layers, f"{here}.resample", name, f"{old}.{depth}")
