"""The parts of a Wan checkpoint, and what must fit: parts, requests, meshes."""

from dataclasses import dataclass
from pathlib import Path

from jax.sharding import Mesh

from chorus_jax.checkpoints import Card, config_from
from chorus_jax.families.fitting import must_divide, must_fit
from chorus_jax.families.protocols import TRANSFORMER
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config, T5Encoder
from chorus_jax.request import Request

PARTS = {
    TRANSFORMER: (WanDiT, WanConfig),
    "vae": (WanVAE, WanVAEConfig),
    "text_encoder": (T5Encoder, T5Config),
}


def stored_names(transformer: str = TRANSFORMER) -> dict[str, str]:
    """The part of a checkpoint folder that each of `PARTS` is read from."""
    return {**{name: name for name in PARTS}, TRANSFORMER: transformer}


@dataclass(frozen=True)
class Sizes:
    """The configs of a model's parts. ValueError if they cannot work together."""

    transformer: WanConfig
    vae: WanVAEConfig
    text_encoder: T5Config

    def __post_init__(self) -> None:
        wan, pairs = self.transformer, []
        channels = self.vae.latent_channels
        pairs.append(("in_channels", wan.in_channels, "latent channels", channels))
        pairs.append(("out_channels", wan.out_channels, "latent channels", channels))
        width = self.text_encoder.width
        pairs.append(("text_width", wan.text_width, "text encoder's width", width))
        for name, mine, other, theirs in pairs:
            if mine != theirs:
                raise ValueError(
                    f"the parts are of different models: the transformer has {name}="
                    f"{mine}, but the {other} is {theirs}"
                )

    @classmethod
    def read(cls, folder: str | Path, transformer: str = TRANSFORMER) -> "Sizes":
        """The configs in a checkpoint folder's card; reads no weights.

        `transformer` is the part that is the transformer. ValueError if the folder has
        no such part, or is of another model.
        """
        card, stored = Card.read(folder).of_family("wan"), stored_names(transformer)
        return cls(
            **{
                name: config_from(config, card.part(stored[name]).config)
                for name, (_, config) in PARTS.items()
            }
        )

    def latent_shape(self, request: Request) -> tuple[int, int, int, int]:
        """The latents' shape (f, h, w, channels) of a request.

        ValueError for sizes that do not divide, naming the nearest that do.
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

    def check_mesh(self, mesh: Mesh, request: Request, count: int) -> None:
        """ValueError unless the mesh divides a batch of `count` such requests."""
        f, h, w = self.grid(request)
        rows = count * (2 if request.guided else 1)
        must_divide(mesh, rows, f * h * w, self.transformer.heads)
