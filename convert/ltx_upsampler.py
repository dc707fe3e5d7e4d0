"""Rules for the latent upsamplers of LTX-Video and LTX-2.

Tensor names are the same in diffusers and in original single files, such as
`ltxv-spatial-upscaler-0.9.8.safetensors`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from chorus_jax.families.ltx_shared.upsampler import UpsamplerConfig
from convert.rules import CONV3D, Fix, Rule

# torch [out, in, h, w] <-> ours [1, h, w, in, out]
PLANE = Fix(
    lambda x: np.transpose(x, (2, 3, 1, 0))[None], lambda x: x[0].transpose(3, 2, 0, 1)
)
FIXED = {"dims": 3, "spatial_upsample": True, "temporal_upsample": False}
# The original and diffusers' names of two config fields of LTX-2.
RATIONAL = ("rational_resampler", "use_rational_resampler")
SCALE = ("spatial_scale", "rational_spatial_scale")
SCALES = {1.5: (3, 2), 2.0: (2, 1), 4.0: (4, 1)}
UNUSED = ("upsampler.blur_down.kernel",)  # the same in all files


def rules(sizes: UpsamplerConfig) -> tuple[Rule, ...]:
    """Rules for the tensor names of a latent upsampler."""
    return (
        *_conv("initial_conv", "input"),
        *_norm("initial_norm", "norm"),
        *_blocks("res_blocks", "before"),
        *_conv("upsampler.0", "wide", PLANE),
        *_conv("upsampler.conv", "wide", PLANE),
        *_blocks("post_upsample_res_blocks", "after"),
        *_conv("final_conv", "output"),
    )


def config(source: dict, dtype: str) -> UpsamplerConfig:
    """Our config from a latent upsampler's config.json or metadata.

    Raises:
        ValueError: for an unsupported latent upsampler.
    """
    for key, expected in FIXED.items():
        value = source.get(key, expected)
        if value != expected:
            raise ValueError(
                f"the latent upsampler has {key}={value!r}; supported is {expected!r}"
            )
    scale = next((float(source[name]) for name in SCALE if name in source), 2.0)
    if not any(source.get(name) for name in RATIONAL):
        scale = 2.0  # only the rational resampler supports other scales
    if scale not in SCALES:
        raise ValueError(
            f"the latent upsampler has a scale of {scale}; supported are "
            f"{', '.join(map(str, SCALES))}"
        )
    up, down = SCALES[scale]
    return UpsamplerConfig(
        channels=source["in_channels"],
        width=source["mid_channels"],
        depth=source["num_blocks_per_stage"],
        up=up,
        down=down,
        dtype=dtype,
    )


def exported(sizes: UpsamplerConfig) -> dict[str, Any]:
    """The config.json of diffusers' LTXLatentUpsamplerModel."""
    return {
        "_class_name": "LTXLatentUpsamplerModel",
        "in_channels": sizes.channels,
        "mid_channels": sizes.width,
        "num_blocks_per_stage": sizes.depth,
        **FIXED,
    }


def _blocks(source: str, target: str) -> Iterator[Rule]:
    for number in (1, 2):
        for kind, make in (("conv", _conv), ("norm", _norm)):
            name = f"{{j}}.{kind}{number}"
            yield from make(f"{source}.{name}", f"{target}.{name}")


def _conv(source: str, target: str, fix: Fix = CONV3D) -> Iterator[Rule]:
    yield Rule(f"{source}.weight", f"{target}.kernel", fix)
    yield Rule(f"{source}.bias", f"{target}.bias")


def _norm(source: str, target: str) -> Iterator[Rule]:
    yield Rule(f"{source}.weight", f"{target}.scale")
    yield Rule(f"{source}.bias", f"{target}.bias")
