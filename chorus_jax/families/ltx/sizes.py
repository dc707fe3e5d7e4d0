"""The parts of an LTX-Video checkpoint, and checks of parts, requests and meshes
against them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jax.sharding import AbstractMesh, Mesh

from chorus_jax.checkpoints import Card, config_from
from chorus_jax.families.fitting import (
    latent_grid,
    must_divide,
    must_have_biases,
    must_have_one_scale,
    must_match,
)
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.positions import PixelScale
from chorus_jax.families.ltx_shared.folder import UPSAMPLER, with_upsampler
from chorus_jax.families.ltx_shared.given_frames import (
    FrameLayout,
    layout_of,
    must_be_of_tiles,
    must_be_whole,
)
from chorus_jax.families.ltx_shared.upsampler import UpsamplerConfig
from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from chorus_jax.nets.t5 import T5Config, T5Encoder
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request

FPS = 30  # of the makers' inference.py; diffusers' pipelines assume 25

PARTS = {
    TRANSFORMER: (LTXDiT, LTXConfig),
    "vae": (LTXVAE, LTXVAEConfig),
    "text_encoder": (T5Encoder, T5Config),
}


ENCODER = "LTX-Video reads T5-XXL v1.1 (PixArt-alpha/PixArt-XL-2-1024-MS, t5xxl)"
ONE_STEP = ("euler", "renoise")  # solvers that use no velocities of earlier steps
PREFIX = 2  # latents of a clip's beginning that stand beside the video's


def parts_of(card: Card) -> Mapping[str, tuple[type, type]]:
    """The parts of a folder that are loaded, and the classes of each."""
    return with_upsampler(PARTS, card)


def stored_names(transformer: str = TRANSFORMER) -> dict[str, str]:
    """The part of a checkpoint folder that each part is read from."""
    names = {name: name for name in (*PARTS, UPSAMPLER)}
    return {**names, TRANSFORMER: transformer}


@dataclass(frozen=True)
class LTXSizes:
    """The configs of a model's parts.

    Attributes:
        transformer: config of the denoising network.
        vae: config of the video autoencoder.
        text_encoder: config of the T5 encoder.
        latent_upsampler: config of the network that enlarges latents for a second pass;
            None without one.

    Raises:
        ValueError: if the parts cannot work together.
    """

    transformer: LTXConfig
    vae: LTXVAEConfig
    text_encoder: T5Config
    latent_upsampler: UpsamplerConfig | None = None

    def __post_init__(self) -> None:
        model, channels = self.transformer, self.vae.latent_channels
        width = self.text_encoder.width
        must_match("in_channels", model.in_channels, "latent channels", channels)
        must_match("out_channels", model.out_channels, "latent channels", channels)
        if self.latent_upsampler is not None:
            reads = self.latent_upsampler.channels
            must_match("in_channels", model.in_channels, "upsampler's channels", reads)
        must_match("text_width", model.text_width, "text encoder's width", width)
        must_have_biases(self.text_encoder, False, ENCODER)

    @classmethod
    def read(cls, folder: str | Path, transformer: str = TRANSFORMER) -> "LTXSizes":
        """The configs in a checkpoint folder's card; reads no weights.

        `transformer` is the part that is run as the transformer. Raises a ValueError if
        the folder has no such part, or is of another model.
        """
        card, stored = Card.read(folder).of_family("ltx"), stored_names(transformer)
        return cls(
            **{
                name: config_from(config, card.part(stored[name]).config)
                for name, (_, config) in parts_of(card).items()
            }
        )

    def check(self, request: Request) -> None:
        """Raises a ValueError for a request whose sizes do not divide, or that asks for
        what this family does not run."""
        self.grid(request)
        must_be_of_tiles(request, self.extra(request))
        if request.inputs is not None and request.inputs.video is not None:
            request.inputs.video.check_length(request.frames)
        if request.perturbed is not None:
            request.perturbed.check_depth(self.transformer.depth)
        if request.guidance_schedule is not None:
            request.guidance_schedule.check_depth(self.transformer.depth)
        if request.joint is not None:
            raise ValueError(
                "joint is guidance of models that make sound, which LTX-Video does "
                "not: leave joint out of the request"
            )
        must_have_one_scale(request)
        # Frames of part strength begin to move in the middle of the schedule: a solver
        # of higher order would combine the velocity there with those of steps that did
        # not move them. Schedules in which all steps move them are refused too.
        if request.solver not in ONE_STEP:
            must_be_whole(self.layout(request), request.solver)

    @property
    def is_091(self) -> bool:
        """Whether this is LTX-Video 0.9.1, told from its sizes: later versions have
        causal positions, and 0.9.0 has a decoder without a timestep."""
        return self.vae.timestep and not self.transformer.causal_positions

    def grid(self, request: Request) -> Size:
        """The number of latents (each a token) along frames, height and width.

        Raises a ValueError for sizes that do not divide, naming the nearest that do.
        """
        vae = self.vae
        return latent_grid(request, vae.time_compression, vae.space_compression)

    def layout(self, request: Request) -> FrameLayout | None:
        """The given frames of a request; None without any. Raises a ValueError for
        frames that do not fit (see `layout_of`)."""
        group = self.vae.time_compression
        return layout_of(request.inputs, request.frames, group, PREFIX)

    def extra(self, request: Request) -> int:
        """The number of tokens of given frames outside the video's grid."""
        layout = self.layout(request)
        return 0 if layout is None else layout.extra(self.grid(request))

    def token_count(self, request: Request) -> int:
        """The number of tokens of a request's video."""
        return math.prod(self.grid(request))

    def scale(self, fps: float) -> PixelScale:
        """The size of a step along the latent grid, in frames and pixels, at `fps`
        frames per second."""
        vae, causal = self.vae, self.transformer.causal_positions
        boxes = (vae.time_compression, vae.space_compression)
        return PixelScale(*boxes, fps, causal)

    def check_mesh(
        self, mesh: Mesh | AbstractMesh, request: Request, count: int
    ) -> None:
        """Raises a ValueError unless the mesh divides a batch of `count` such
        requests."""
        rows = count * request.passes
        tokens = self.token_count(request) + self.extra(request)
        must_divide(mesh, rows, tokens, self.transformer.heads)
