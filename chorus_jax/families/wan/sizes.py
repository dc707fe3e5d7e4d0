"""The sizes of a Wan model, and checks of its parts, requests and meshes against
them."""

from dataclasses import dataclass
from pathlib import Path

from jax.sharding import AbstractMesh, Mesh

from chorus_jax.checkpoints import Card, config_from
from chorus_jax.families.fitting import (
    must_divide,
    must_fit,
    must_have_biases,
    must_have_one_scale,
    must_match,
)
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.single_stream.block import BRANCHES
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.experts import HIGH, LOW
from chorus_jax.families.wan.given_inputs import check_inputs
from chorus_jax.families.wan.parts import parts_of, stored_names
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.clip_image import CLIPImageConfig
from chorus_jax.nets.t5 import T5Config
from chorus_jax.request import Request

EXPANDED = "expand_timesteps"  # diffusers' name of a setting of the whole model
ENCODER = "Wan reads umT5-XXL (google/umt5-xxl)"  # for messages


@dataclass(frozen=True)
class Sizes:
    """The configs of a model's parts.

    Attributes:
        transformer: config of the denoising network; for Wan 2.2 A14B of the high-noise
            expert.
        vae: config of the video autoencoder.
        text_encoder: config of the UMT5 encoder.
        transformer_2: config of the low-noise expert, equal to the other; None if
            there is one network.
        image_encoder: config of the CLIP vision tower; None in models without.
        expand_timesteps: whether each token has its own timestep, which is 0 for a
            given first frame (TI2V-5B).

    Raises:
        ValueError: if the parts cannot work together.
    """

    transformer: WanConfig
    vae: WanVAEConfig
    text_encoder: T5Config
    transformer_2: WanConfig | None = None
    image_encoder: CLIPImageConfig | None = None
    expand_timesteps: bool = False

    def __post_init__(self) -> None:
        wan = self.transformer
        channels = self.vae.latent_channels
        if not self.conditioned:
            must_match("in_channels", wan.in_channels, "latent channels", channels)
        tower = self.image_encoder
        reads = None if tower is None else tower.width
        must_match("image_width", wan.image_width, "image encoder's width", reads)
        if tower is not None and wan.image_positions is not None:
            tokens = 2 * tower.tokens
            name = "tokens of the image encoder for two images"
            must_match("image_positions", wan.image_positions, name, tokens)
        must_match("out_channels", wan.out_channels, "latent channels", channels)
        width = self.text_encoder.width
        must_match("text_width", wan.text_width, "text encoder's width", width)
        must_have_biases(self.text_encoder, True, ENCODER)
        if self.transformer_2 not in (None, wan):
            raise ValueError(
                "the two experts must have the same sizes and dtype, got "
                f"{HIGH}: {wan} and {LOW}: {self.transformer_2}"
            )

    @property
    def experts(self) -> int:
        """The number of transformers that share the steps."""
        return 1 if self.transformer_2 is None else 2

    @property
    def conditioned(self) -> bool:
        """Whether the transformer reads a mask and latents of images."""
        mask, channels = self.vae.time_compression, self.vae.latent_channels
        return self.transformer.in_channels == 2 * channels + mask

    @classmethod
    def read(cls, folder: str | Path, transformer: str = TRANSFORMER) -> "Sizes":
        """The configs in a checkpoint folder's card; reads no weights.

        `transformer` is the part that is run as the transformer. Raises a ValueError if
        the folder has no such part, or is of another model.
        """
        card, stored = Card.read(folder).of_family("wan"), stored_names(transformer)
        return cls(
            **{
                name: config_from(config, card.part(stored[name]).config)
                for name, (_, config) in parts_of(card, transformer).items()
            },
            expand_timesteps=bool(card.settings.get(EXPANDED)),
        )

    def check(self, request: Request) -> None:
        """Raises a ValueError for a request whose sizes do not divide, with a step
        cache of another model or of other steps, or with a field that the model does
        not read: guidance scales of experts, images, frames per second."""
        _, height, width, _ = self.latent_shape(request)
        if request.perturbed is not None or request.guidance_schedule is not None:
            raise ValueError(
                "Wan has no spatio-temporal guidance here, and none by noise level: "
                "leave perturbed and guidance_schedule out of the request"
            )
        if request.joint is not None:
            raise ValueError(
                "joint is guidance of models that make sound, which Wan does not: "
                "leave joint out of the request"
            )
        if request.fps is not None:
            raise ValueError(
                f"Wan's positions count frames, not seconds: leave fps={request.fps:g} "
                "out of the request, and give it where the file is written"
            )
        check_inputs(self, request)
        if self.transformer_2 is None:
            must_have_one_scale(request)
        depth = self.transformer.depth
        request.check_cache(request.make_solver, depth, BRANCHES, (height, width))

    def first_given(self, request: Request) -> bool:
        """Whether a request's first latent frame is its image's, without noise in all
        steps."""
        inputs = request.inputs
        return self.expand_timesteps and inputs is not None and inputs.image is not None

    def latent_shape(self, request: Request) -> tuple[int, int, int, int]:
        """The latents' shape (f, h, w, channels) of a request.

        Raises a ValueError for sizes that do not divide, naming the nearest that do.
        """
        vae, (pf, ph, pw) = self.vae, self.transformer.patch
        time = vae.time_compression
        must_fit("frames", request.frames, time * pf, 1 + time * (pf - 1))
        must_fit("height", request.height, vae.space_compression * ph, 0)
        must_fit("width", request.width, vae.space_compression * pw, 0)
        grid = vae.latent_shape(request.frames, request.height, request.width)
        return (*grid, vae.latent_channels)

    def grid(self, request: Request) -> tuple[int, int, int]:
        """Tokens along frames, height and width."""
        sizes, patch = self.latent_shape(request)[:3], self.transformer.patch
        f, h, w = (size // p for size, p in zip(sizes, patch))
        return f, h, w

    def check_mesh(
        self, mesh: Mesh | AbstractMesh, request: Request, count: int
    ) -> None:
        """Raises a ValueError unless the mesh divides a batch of `count` such
        requests."""
        f, h, w = self.grid(request)
        rows = count * (2 if request.guided else 1)
        must_divide(mesh, rows, f * h * w, self.transformer.heads)
