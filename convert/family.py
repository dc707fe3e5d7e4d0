"""The kinds of model parts and their layouts, with the parts of Wan."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.residual_vae import WanResidualVAE
from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.clip_image import CLIPImageConfig, CLIPImageEncoder
from chorus_jax.nets.t5 import T5Config, T5Encoder
from convert import clip_image, diffusers_configs, t5, wan, wan_residual_vae, wan_vae
from convert.rules import Alias, Rule
from convert.source import DIFFUSERS, ORIGINAL


@dataclass(frozen=True)
class Layout:
    """The names of tensors and config fields of a model in one source layout.

    Attributes:
        rules: makes the table of names from our config.
        config: makes our config from the source's config.json ({} if it has none) and a
            dtype.
        name: the `_class_name` in that config.json, if it has one.
    """

    rules: Callable[[Any], Sequence[Rule | Alias]]
    config: Callable[[dict, str], Any]
    name: str | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of model part: our class, the layouts it is read from, and its export.

    Attributes:
        model: our class of the network.
        config: our class of its config.
        layouts: the source layouts that can be read, by name (see `convert.source`).
        library: the package of the published class, in diffusers' model_index.json.
        name: the name of the published class.
        stem: the file name of the weights on export, without its ending.
        export: makes the content of the published config.json from our config.
        marker: a field of the source's config.json which is true for this kind only; ""
            for the default kind.
        others: alternative kinds of the same part, each with a marker.
    """

    model: type
    config: type
    layouts: Mapping[str, Layout]
    library: str
    name: str
    stem: str
    export: Callable[[Any], dict]
    marker: str = ""
    others: tuple["Kind", ...] = ()

    def read_from(self, config: Mapping[str, Any]) -> "Kind":
        """The kind that a source's config.json describes."""
        return next((kind for kind in self.others if config.get(kind.marker)), self)

    def stored_as(self, model: str) -> "Kind":
        """The alternative kind whose class has this name, else this kind."""
        named = (kind for kind in self.others if kind.model.__name__ == model)
        return next(named, self)


TRANSFORMER = Kind(
    WanDiT,
    WanConfig,
    {
        DIFFUSERS: Layout(lambda _: wan.DIFFUSERS, wan.config, "WanTransformer3DModel"),
        ORIGINAL: Layout(lambda _: wan.ORIGINAL, wan.original_config, "WanModel"),
    },
    library="diffusers",
    name="WanTransformer3DModel",
    stem="diffusion_pytorch_model",
    export=diffusers_configs.transformer,
)

RESIDUAL_VAE = Kind(
    WanResidualVAE,
    WanResidualVAEConfig,
    {
        DIFFUSERS: Layout(
            wan_residual_vae.diffusers, wan_residual_vae.config, "AutoencoderKLWan"
        ),
        ORIGINAL: Layout(wan_residual_vae.original, wan_residual_vae.original_config),
    },
    library="diffusers",
    name="AutoencoderKLWan",
    stem="diffusion_pytorch_model",
    export=diffusers_configs.residual_vae,
    marker="is_residual",
)

WAN: Mapping[str, Kind] = {
    "transformer": TRANSFORMER,
    "vae": Kind(
        WanVAE,
        WanVAEConfig,
        {
            DIFFUSERS: Layout(wan_vae.diffusers, wan_vae.config, "AutoencoderKLWan"),
            ORIGINAL: Layout(wan_vae.original, wan_vae.original_config),
        },
        library="diffusers",
        name="AutoencoderKLWan",
        stem="diffusion_pytorch_model",
        export=diffusers_configs.vae,
        others=(RESIDUAL_VAE,),
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
    # The low-noise expert of Wan 2.2 A14B.
    "transformer_2": TRANSFORMER,
    # Encodes the first frame for Wan 2.1 image-to-video, in addition to its latents.
    "image_encoder": Kind(
        CLIPImageEncoder,
        CLIPImageConfig,
        {DIFFUSERS: Layout(clip_image.rules, clip_image.config)},
        library="transformers",
        name="CLIPVisionModel",
        stem="model",
        export=diffusers_configs.image_encoder,
    ),
}
