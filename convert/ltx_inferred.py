"""Infers configs of LTX-Video's parts from tensors, for files without metadata."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convert.inferred import count
from convert.tensors import SourceTensor

Tensors = Mapping[str, SourceTensor]

# The blocks of published VAEs.
BLOCKS_090 = [
    *(["res_x", 4], ["compress_all", 1], ["res_x_y", 1], ["res_x", 3]),
    *(["compress_all", 1], ["res_x_y", 1], ["res_x", 3], ["compress_all", 1]),
    *(["res_x", 3], ["res_x", 4]),
]
ENCODER_095 = [
    *(["res_x", 4], ["compress_space_res", {"multiplier": 2}]),
    *(["res_x", 6], ["compress_time_res", {"multiplier": 2}]),
    *(["res_x", 6], ["compress_all_res", {"multiplier": 2}]),
    *(["res_x", 2], ["compress_all_res", {"multiplier": 2}], ["res_x", 2]),
]


def config(part: str, tensors: Tensors, file: Path) -> dict[str, Any]:
    """The config of a part, in the form of the original metadata.

    Raises:
        ValueError: if a tensor whose shape gives a size is missing.
    """
    try:
        return (_transformer if part == "transformer" else _vae)(tensors)
    except KeyError as error:
        raise ValueError(
            f"{file} has no config in its metadata, and lacks {error}, which tells a "
            "size: it is incomplete or of another model"
        ) from error


def _transformer(tensors: Tensors) -> dict[str, Any]:
    """The config of a transformer with 32 heads, as all published ones have.

    No tensor shows which temporal positions the model uses. A model of 48 layers uses
    the positions of 0.9.5 and later; otherwise `ltx_source` infers them from the VAE.
    """
    width, channels = tensors["patchify_proj.weight"].shape
    depth = count(tensors, "transformer_blocks.{layer}.scale_shift_table")
    config = {
        "num_attention_heads": 32,
        "attention_head_dim": width // 32,
        "num_layers": depth,
        "in_channels": channels,
        "out_channels": tensors["proj_out.weight"].shape[0],
        "caption_channels": tensors["caption_projection.linear_1.weight"].shape[1],
    }
    return config | ({"causal_temporal_positioning": True} if depth == 48 else {})


def _vae(tensors: Tensors) -> dict[str, Any]:
    timestep = "decoder.timestep_scale_multiplier" in tensors
    folds = "encoder.down_blocks.1.conv.conv.weight" in tensors
    noise = "decoder.up_blocks.2.res_blocks.0.per_channel_scale1" in tensors
    depths = (5, 5, 5, 5) if folds else (5, 6, 7, 8)
    decoder: list[list[Any]] = []
    for i, depth in enumerate(depths):
        decoder += [["compress_all", {"residual": True, "multiplier": 2}]] * (i > 0)
        inject = noise and i < len(depths) - 1
        decoder += [["res_x", {"num_layers": depth, "inject_noise": inject}]]
    patches, latents = (
        tensors[f"{half}.conv_in.conv.weight"].shape[1]
        for half in ("encoder", "decoder")
    )
    return {
        "encoder_blocks": ENCODER_095 if folds else BLOCKS_090,
        "decoder_blocks": decoder if timestep else BLOCKS_090,
        "encoder_base_channels": tensors["encoder.conv_in.conv.weight"].shape[0],
        "decoder_base_channels": tensors["decoder.conv_out.conv.weight"].shape[1],
        "latent_channels": latents,
        "patch_size": round((patches / 3) ** 0.5),
        "timestep_conditioning": timestep,
    }
