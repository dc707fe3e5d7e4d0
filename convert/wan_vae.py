"""Rules for the Wan VAE in diffusers' layout and the original `Wan2.1_VAE.pth`.

Both sources number the encoder's blocks in one list across the stages; the original
file does so for the decoder too. So the rules depend on the sizes. Sources: diffusers'
AutoencoderKLWan, wan/modules/vae.py of Wan 2.1.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from chorus_jax.families.wan.vae_config import WanVAEConfig
from convert.rules import CONV2D, CONV3D, Fix, Rule

# torch [c, 1, 1, 1] or [c, 1, 1] <-> ours [c]
NORM3D = Fix(lambda x: x.reshape(-1), lambda x: x.reshape(-1, 1, 1, 1))
NORM2D = Fix(lambda x: x.reshape(-1), lambda x: x.reshape(-1, 1, 1))
# torch [out, in, 1, 1, 1] or [out, in, 1, 1] <-> ours [in, out]
POINT3D = Fix(lambda x: x.reshape(x.shape[:2]).T, lambda x: x.T[:, :, None, None, None])
POINT2D = Fix(lambda x: x.reshape(x.shape[:2]).T, lambda x: x.T[:, :, None, None])


class Layer(NamedTuple):
    """One layer's name here, in diffusers and in the original file.

    Attributes:
        target: the dotted path of our parameter, within its block.
        diffusers: its name in diffusers, within its block.
        original: its name in the original file, within its block.
        fix: the change of layout, the same for both sources.
    """

    target: str
    diffusers: str
    original: str
    fix: Fix


RESIDUAL: tuple[Layer, ...] = (
    Layer("norm1", "norm1", "residual.0", NORM3D),
    Layer("conv1", "conv1", "residual.2", CONV3D),
    Layer("norm2", "norm2", "residual.3", NORM3D),
    Layer("conv2", "conv2", "residual.6", CONV3D),
    Layer("shortcut", "conv_shortcut", "shortcut", POINT3D),
)
ATTENTION = (
    Layer("norm", "norm", "norm", NORM2D),
    Layer("qkv", "to_qkv", "to_qkv", POINT2D),
    Layer("out", "proj", "proj", POINT2D),
)
PLANE: tuple[Layer, ...] = (Layer("plane", "resample.1", "resample.1", CONV2D),)
PLANE_AND_TIME = (*PLANE, Layer("time", "time_conv", "time_conv", CONV3D))
ENDS = (
    Layer("encoder.input", "encoder.conv_in", "encoder.conv1", CONV3D),
    Layer("encoder.output.norm", "encoder.norm_out", "encoder.head.0", NORM3D),
    Layer("encoder.output.conv", "encoder.conv_out", "encoder.head.2", CONV3D),
    Layer("moments", "quant_conv", "conv1", POINT3D),
    Layer("unpack", "post_quant_conv", "conv2", POINT3D),
    Layer("decoder.input", "decoder.conv_in", "decoder.conv1", CONV3D),
    Layer("decoder.output.norm", "decoder.norm_out", "decoder.head.0", NORM3D),
    Layer("decoder.output.conv", "decoder.conv_out", "decoder.head.2", CONV3D),
)

REQUIRED = (
    *("base_dim", "dim_mult", "num_res_blocks", "temperal_downsample"),
    *("latents_mean", "latents_std"),
)


class BlockNames(NamedTuple):
    """The layers of one block, and the block's name here and in both sources.

    Attributes:
        layers: the names of the block's layers.
        target: the path of the block here.
        diffusers: the block's name in diffusers.
        original: the block's name in the original file.
    """

    layers: tuple[Layer, ...]
    target: str
    diffusers: str
    original: str


def diffusers(sizes: WanVAEConfig) -> tuple[Rule, ...]:
    """Rules for the names of diffusers' AutoencoderKLWan."""
    return rules_of(_blocks(sizes))


def rules_of(blocks: Iterable[BlockNames]) -> tuple[Rule, ...]:
    """Rules with diffusers' names for these blocks, and for layers outside blocks."""
    layers = _layers(blocks)
    return tuple(rule for x in layers for rule in _rules(x, x.diffusers))


def original_rules_of(blocks: Iterable[BlockNames]) -> tuple[Rule, ...]:
    """Rules with the original names for these blocks, and for layers outside blocks."""
    layers = _layers(blocks)
    return tuple(rule for x in layers for rule in _rules(x, x.original))


def original(sizes: WanVAEConfig) -> tuple[Rule, ...]:
    """Rules for the names in `Wan2.1_VAE.pth` (usual sizes: `WanVAEConfig.wan21`)."""
    return original_rules_of(_blocks(sizes))


def original_config(source: dict, dtype: str) -> WanVAEConfig:
    """Our config of the original release, which has no config file.

    `source` holds the width inferred from its tensors (`inferred.vae`).
    """
    usual = WanVAEConfig.wan21(dtype)
    return replace(usual, width=source.get("base_dim", usual.width))


def config(source: dict, dtype: str) -> WanVAEConfig:
    """Our config from diffusers' vae/config.json.

    Raises:
        ValueError: if a field is missing, or for an unsupported VAE, such as Wan 2.2's.
    """
    missing = [key for key in REQUIRED if key not in source]
    if missing:
        raise ValueError(f"the VAE's config lacks {', '.join(missing)}")
    fixed = {
        **{"is_residual": False, "patch_size": None, "attn_scales": []},
        **{"in_channels": 3, "out_channels": 3},
        "decoder_base_dim": source["base_dim"],
        "z_dim": len(source["latents_mean"]),
    }
    for key, expected in fixed.items():
        value = source.get(key)
        if value is not None and value != expected:
            raise ValueError(f"the VAE has {key}={value!r}; supported is {expected!r}")
    return WanVAEConfig(
        width=source["base_dim"],
        multipliers=tuple(source["dim_mult"]),
        depth=source["num_res_blocks"],
        halve_time=tuple(source["temperal_downsample"]),
        latents_mean=tuple(source["latents_mean"]),
        latents_std=tuple(source["latents_std"]),
        dtype=dtype,
    )


def _rules(layer: Layer, source: str) -> Iterator[Rule]:
    if layer.fix in (NORM2D, NORM3D):
        yield Rule(f"{source}.gamma", f"{layer.target}.scale", layer.fix)
        return
    yield Rule(f"{source}.weight", f"{layer.target}.kernel", layer.fix)
    yield Rule(f"{source}.bias", f"{layer.target}.bias")


def _blocks(sizes: WanVAEConfig) -> Iterator[BlockNames]:
    yield from middle("encoder")
    yield from middle("decoder")
    yield from _down(sizes)
    yield from _up(sizes)


def _layers(blocks: Iterable[BlockNames]) -> Iterator[Layer]:
    yield from ENDS
    for block in blocks:
        for layer in block.layers:
            yield layer._replace(
                target=f"{block.target}.{layer.target}",
                diffusers=f"{block.diffusers}.{layer.diffusers}",
                original=f"{block.original}.{layer.original}",
            )


def middle(half: str) -> Iterator[BlockNames]:
    """The blocks at the lowest resolution of the encoder or decoder (`half`)."""
    names = ("resnets.0", "attentions.0", "resnets.1")
    for i, layers in enumerate((RESIDUAL, ATTENTION, RESIDUAL)):
        here = f"{half}.middle.{i}"
        yield BlockNames(layers, here, f"{half}.mid_block.{names[i]}", here)


def _down(sizes: WanVAEConfig) -> Iterator[BlockNames]:
    number = count()
    for s, time in enumerate((*sizes.halve_time, None)):
        for name, layers in _stage(sizes.depth, time).items():
            n = next(number)
            yield BlockNames(
                layers,
                f"encoder.stages.{s}.{name}",
                f"encoder.down_blocks.{n}",
                f"encoder.downsamples.{n}",
            )


def _up(sizes: WanVAEConfig) -> Iterator[BlockNames]:
    number = count()
    for s, time in enumerate((*reversed(sizes.halve_time), None)):
        for name, layers in _stage(sizes.depth + 1, time).items():
            source_name = name.replace("blocks", "resnets")
            source_name = source_name.replace("resample", "upsamplers.0")
            yield BlockNames(
                layers,
                f"decoder.stages.{s}.{name}",
                f"decoder.up_blocks.{s}.{source_name}",
                f"decoder.upsamples.{next(number)}",
            )


def _stage(depth: int, time: bool | None) -> dict[str, tuple[Layer, ...]]:
    """The blocks of a stage by our names, in the order of the sources' numbering."""
    parts = {f"blocks.{j}": RESIDUAL for j in range(depth)}
    if time is not None:
        parts["resample"] = PLANE_AND_TIME if time else PLANE
    return parts
