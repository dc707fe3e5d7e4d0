"""Rules for the VAE of Wan 2.2: diffusers' `vae` folder with `is_residual`."""

from collections.abc import Iterator

from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from convert.rules import Rule
from convert.wan_vae import (
    PLANE,
    PLANE_AND_TIME,
    RESIDUAL,
    BlockNames,
    middle,
    rules_of,
)

REQUIRED = (
    *("base_dim", "decoder_base_dim", "dim_mult", "num_res_blocks", "patch_size"),
    *("temperal_downsample", "latents_mean", "latents_std"),
)


def diffusers(sizes: WanResidualVAEConfig) -> tuple[Rule, ...]:
    """Rules for the names of diffusers' AutoencoderKLWan."""
    halves = ("encoder", "decoder")
    blocks = [block for half in halves for block in middle(half)]
    return rules_of([*blocks, *_stages(sizes)])


def config(source: dict, dtype: str) -> WanResidualVAEConfig:
    """The sizes in diffusers' vae/config.json. ValueError if one is missing, or if the
    channels are not those of patches of pixels."""
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


def _stages(sizes: WanResidualVAEConfig) -> Iterator[BlockNames]:
    down = (*sizes.halve_time, None)
    up = (*reversed(sizes.halve_time), None)
    for half, published, resample, depth, times in (
        ("encoder", "down_blocks", "downsampler", sizes.depth, down),
        ("decoder", "up_blocks", "upsampler", sizes.depth + 1, up),
    ):
        for s, time in enumerate(times):
            here, there = f"{half}.stages.{s}.main", f"{half}.{published}.{s}"
            for j in range(depth):
                name = f"{there}.resnets.{j}"
                yield BlockNames(RESIDUAL, f"{here}.blocks.{j}", name)
            if time is not None:
                layers = PLANE_AND_TIME if time else PLANE
                yield BlockNames(layers, f"{here}.resample", f"{there}.{resample}")
