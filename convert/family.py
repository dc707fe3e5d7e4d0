"""The families that can be converted: for each part its class and its tables."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.vae import LTXVAE
from chorus_jax.families.ltx.vae_config import LTXVAEConfig
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config, T5Encoder
from convert import (
    diffusers_configs,
    ltx,
    ltx_configs,
    ltx_source,
    ltx_vae,
    t5,
    wan,
    wan_vae,
)
from convert.ltx_source import open_ltx
from convert.rules import Alias, Rule
from convert.source import DIFFUSERS, ORIGINAL, Source, open_source


@dataclass(frozen=True)
class Layout:
    """How one layout of the source names a model's tensors and tells its sizes.

    `config` takes the source's config.json ({} if it has none) and the dtype. `name` is
    the `_class_name` in it, where it has one.
    """

    rules: Callable[[Any], Sequence[Rule | Alias]]
    config: Callable[[dict, str], Any]
    name: str | None = None


@dataclass(frozen=True)
class Kind:
    """One part: our class, the layouts it is read from, and how it is exported.

    `library` and `name` are its class in diffusers' model_index.json, `export` gives
    its config.json, `stem` is the name of its weights' file.
    """

    model: Callable[..., Any]
    config: type
    layouts: Mapping[str, Layout]
    library: str
    name: str
    stem: str
    export: Callable[[Any], dict]


WAN: Mapping[str, Kind] = {
    "transformer": Kind(
        WanDiT,
        WanConfig,
        {
            DIFFUSERS: Layout(
                lambda _: wan.DIFFUSERS, wan.config, "WanTransformer3DModel"
            ),
            ORIGINAL: Layout(lambda _: wan.ORIGINAL, wan.original_config, "WanModel"),
        },
        library="diffusers",
        name="WanTransformer3DModel",
        stem="diffusion_pytorch_model",
        export=diffusers_configs.transformer,
    ),
    "vae": Kind(
        WanVAE,
        WanVAEConfig,
        {
            DIFFUSERS: Layout(wan_vae.diffusers, wan_vae.config, "AutoencoderKLWan"),
            ORIGINAL: Layout(
                wan_vae.original, lambda _, dtype: WanVAEConfig.wan21(dtype)
            ),
        },
        library="diffusers",
        name="AutoencoderKLWan",
        stem="diffusion_pytorch_model",
        export=diffusers_configs.vae,
    ),
    "text_encoder": Kind(
        T5Encoder,
        T5Config,
        {
            DIFFUSERS: Layout(lambda _: t5.DIFFUSERS, t5.config),
            ORIGINAL: Layout(lambda _: t5.ORIGINAL, t5.original_config),
        },
        library="transformers",
        name="UMT5EncoderModel",
        stem="model",
        export=diffusers_configs.text_encoder,
    ),
}

LTX: Mapping[str, Kind] = {
    "transformer": Kind(
        LTXDiT,
        LTXConfig,
        {
            DIFFUSERS: Layout(
                lambda _: ltx.DIFFUSERS, ltx.config, "LTXVideoTransformer3DModel"
            )
        },
        library="diffusers",
        name="LTXVideoTransformer3DModel",
        stem="diffusion_pytorch_model",
        export=ltx_configs.transformer,
    ),
    "vae": Kind(
        LTXVAE,
        LTXVAEConfig,
        {DIFFUSERS: Layout(ltx_vae.diffusers, ltx_vae.config, "AutoencoderKLLTXVideo")},
        library="diffusers",
        name="AutoencoderKLLTXVideo",
        stem="diffusion_pytorch_model",
        export=ltx_configs.vae,
    ),
    "text_encoder": Kind(
        T5Encoder,
        T5Config,
        {DIFFUSERS: Layout(lambda _: t5.DIFFUSERS, t5.config)},
        library="transformers",
        name="T5EncoderModel",
        stem="model",
        export=diffusers_configs.text_encoder,
    ),
}


@dataclass(frozen=True)
class Convertible:
    """A family as the command line converts it.

    Attributes:
        kinds: its parts.
        open: reads the headers of a source folder.
        title: the name that people know it by.
        pipeline: diffusers' class for a folder, from the transformer's config.
    """

    kinds: Mapping[str, Kind]
    open: Callable[[Path], Source]
    title: str
    pipeline: Callable[[Any], str]


FAMILIES: Mapping[str, Convertible] = {
    "wan": Convertible(WAN, open_source, "Wan 2.1", lambda _: "WanPipeline"),
    "ltx": Convertible(LTX, open_ltx, "LTX-Video", ltx_source.pipeline),
}
