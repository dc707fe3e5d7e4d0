"""The parts of an LTX-2 checkpoint, and checks of parts, requests and meshes against
them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jax.sharding import AbstractMesh, Mesh

from chorus_jax.checkpoints import Card, config_from
from chorus_jax.families.fitting import (
    latent_grid,
    must_divide,
    must_have_one_scale,
    must_match,
)
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.ltx2.audio_vae import AudioVAE, AudioVAEConfig
from chorus_jax.families.ltx2.band_vocoder import BandVocoder, BandVocoderConfig
from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.connectors import ConnectorsConfig, LTX2Connectors
from chorus_jax.families.ltx2.positions import AudioVideoScale
from chorus_jax.families.ltx2.transformer import LTX2DiT
from chorus_jax.families.ltx2.vocoder import Vocoder, VocoderConfig
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
from chorus_jax.nets.gemma import GemmaConfig, GemmaEncoder
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request

FPS = 24  # of the makers' pipelines
MOST_FPS = 60.0  # that positions tell apart

PARTS = {
    TRANSFORMER: (LTX2DiT, LTX2Config),
    "vae": (LTXVAE, LTXVAEConfig),
    "text_encoder": (GemmaEncoder, GemmaConfig),
    "connectors": (LTX2Connectors, ConnectorsConfig),
    "audio_vae": (AudioVAE, AudioVAEConfig),
    "vocoder": (Vocoder, VocoderConfig),
}


VOCODERS = (PARTS["vocoder"], (BandVocoder, BandVocoderConfig))


def parts_of(card: Card) -> Mapping[str, tuple[type, type]]:
    """The module's class and the config's class of each part of a folder.

    Raises a ValueError if it lacks the vocoder.
    """
    model = card.part("vocoder").model
    fitting = (classes for classes in VOCODERS if classes[0].__name__ == model)
    # For one of another class `checkpoints.load` says what is wrong.
    parts = {**PARTS, "vocoder": next(fitting, VOCODERS[0])}
    return with_upsampler(parts, card)


def stored_names(transformer: str = TRANSFORMER) -> dict[str, str]:
    """The part of a checkpoint folder that each part is read from."""
    names = {name: name for name in (*PARTS, UPSAMPLER)}
    return {**names, TRANSFORMER: transformer}


@dataclass(frozen=True)
class LTX2Sizes:
    """The configs of a model's parts.

    Attributes:
        transformer: config of the joint denoising network.
        vae: config of the video autoencoder.
        text_encoder: config of Gemma.
        connectors: config of the connectors, which make the text embeddings of both
            streams.
        audio_vae: config of the audio autoencoder.
        vocoder: config of the vocoder, which turns spectrograms into sound.
        latent_upsampler: config of the network that enlarges latents for a second pass;
            None without one.

    Raises:
        ValueError: if the parts cannot work together.
    """

    transformer: LTX2Config
    vae: LTXVAEConfig
    text_encoder: GemmaConfig
    connectors: ConnectorsConfig
    audio_vae: AudioVAEConfig
    vocoder: VocoderConfig | BandVocoderConfig
    latent_upsampler: UpsamplerConfig | None = None

    def __post_init__(self) -> None:
        model, text = self.transformer, self.connectors
        channels, sound = self.vae.latent_channels, self.audio_vae
        must_match("in_channels", model.in_channels, "latent channels", channels)
        must_match("out_channels", model.out_channels, "latent channels", channels)
        if self.latent_upsampler is not None:
            reads = self.latent_upsampler.channels
            must_match("in_channels", model.in_channels, "upsampler's channels", reads)
        must_match(
            "audio_channels",
            model.audio_channels,
            "audio VAE's token",
            sound.token_width,
        )
        wanted = (model.width, model.audio_width)
        if model.text_width is not None:
            wanted = (model.text_width,) * 2
        for name, width, made in zip(("video", "audio"), wanted, text.widths):
            must_match(f"{name} text width", width, f"{name} connector's width", made)
        encoder = self.text_encoder
        must_match("state_width", text.state_width, "text encoder's", encoder.width)
        must_match("states", text.states, "text encoder's layers + 1", encoder.states)
        for registers in text.registers:
            if model.text_limit % registers:
                raise ValueError(
                    f"text_limit={model.text_limit} must be a multiple of the "
                    f"connectors' {registers} registers"
                )
        mel = (sound.mel_bins, sound.channels)
        if mel != (self.vocoder.mel_bins, self.vocoder.channels):
            raise ValueError(
                "the parts are of different models: the audio VAE gives "
                f"{mel[0]} mel bins of {mel[1]} channels, the vocoder reads "
                f"{self.vocoder.mel_bins} of {self.vocoder.channels}"
            )

    @classmethod
    def read(cls, folder: str | Path, transformer: str = TRANSFORMER) -> "LTX2Sizes":
        """The configs in a checkpoint folder's card; reads no weights.

        `transformer` is the part that is run as the transformer. Raises a ValueError if
        the folder has no such part, or is of another model.
        """
        card, stored = Card.read(folder).of_family("ltx2"), stored_names(transformer)
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
            raise ValueError(
                "LTX-2 makes video and sound together, and does not begin from a video "
                "alone: give its frames as a keyframe (keyframes, --extend), which may "
                "be soft"
            )
        if request.perturbed is not None:
            request.perturbed.check_depth(self.transformer.depth)
        if request.guidance_schedule is not None:
            raise ValueError(
                "LTX-2 has no guidance by noise level here: leave guidance_schedule "
                "out, and give guidance_scale, perturbed and joint"
            )
        must_have_one_scale(request)
        # The makers' code moves tokens of part strength towards the given latents after
        # each step of this solver, which is not supported.
        if request.solver == "res_2s":
            must_be_whole(self.layout(request), request.solver)
        if self.audio_tokens(request) < 1:
            raise ValueError(
                f"{request.frames} frames at {fps_of(request):g} per second are too "
                "short for any sound: ask for more frames"
            )

    @property
    def is_091(self) -> bool:
        """False: this model is not LTX-Video 0.9.1."""
        return False

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
        return layout_of(request.inputs, request.frames, group, None)

    def extra(self, request: Request) -> int:
        """The number of tokens of given frames outside the video's grid."""
        layout = self.layout(request)
        return 0 if layout is None else layout.extra(self.grid(request))

    def token_count(self, request: Request) -> int:
        """The number of tokens of a request's video."""
        return math.prod(self.grid(request))

    def audio_tokens(self, request: Request) -> int:
        """The number of tokens of a request's audio, which is as long as its video."""
        seconds = request.frames / fps_of(request)
        return round(seconds * self.scale(request).audio_rate)

    def scale(self, request: Request) -> AudioVideoScale:
        """The size of a step along the latent grids, in seconds and pixels."""
        return AudioVideoScale(
            self.vae.time_compression,
            self.vae.space_compression,
            min(fps_of(request), MOST_FPS),
            self.audio_vae.compression,
            self.audio_vae.hop,
            self.audio_vae.sample_rate,
        )

    def check_mesh(
        self, mesh: Mesh | AbstractMesh, request: Request, count: int
    ) -> None:
        """Raises a ValueError unless the mesh divides a batch of `count` such
        requests."""
        joint = request.joint is not None and request.joint.isolates
        branches = 1 + request.guided + (request.perturbed is not None) + joint
        model = self.transformer
        heads = math.gcd(model.heads, model.audio_heads, *self.connectors.heads)
        tokens = self.token_count(request) + self.extra(request)
        must_divide(mesh, count * branches, tokens, heads)


def fps_of(request: Request) -> float:
    """The frames per second of a request; the makers' default if it gives none."""
    return float(FPS) if request.fps is None else request.fps
