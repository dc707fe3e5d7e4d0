"""A loaded LTX-2 model: prompts to conditions, latents to frames and sound."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from chorus_jax.checkpoints import Card
from chorus_jax.families.forward import TRANSFORMER, Geometry, Latents
from chorus_jax.families.ltx2.audio_vae import AudioVAE
from chorus_jax.families.ltx2.band_vocoder import BandVocoder
from chorus_jax.families.ltx2.conditions import AudioVideoConditions
from chorus_jax.families.ltx2.connectors import FeatureEncoder
from chorus_jax.families.ltx2.preparing import guidance_of, prepare
from chorus_jax.families.ltx2.schedule import FixedShift, schedule_of
from chorus_jax.families.ltx2.sizes import (
    PARTS,
    LTX2Sizes,
    fps_of,
    parts_of,
    stored_names,
)
from chorus_jax.families.ltx2.transformer import LTX2DiT
from chorus_jax.families.ltx2.vocoder import Vocoder
from chorus_jax.families.ltx_vae.vae import LTXVAE, decode_groups
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.single_stream.model import (
    TEXT_ENCODER,
    SingleStreamModel,
    load_parts,
)
from chorus_jax.nets.tokens import Tiling
from chorus_jax.request import Request
from chorus_jax.schedulers import Schedule, Solver, named
from chorus_jax.schedulers.token_shift import TokenShift
from chorus_jax.text.prompts import PromptEncoder, Tokenizer, Tokens


class LTX2Model(SingleStreamModel):
    """The parts of one LTX-2 model (see `protocols.VideoModel`).

    What is remembered of a prompt is its features: the text encoder's states of all
    layers, normed and projected.
    """

    family = "ltx2"
    sizes: LTX2Sizes

    def __init__(
        self,
        parts: Mapping[str, Any],
        tokenizer: Tokenizer,
        schedule: FixedShift | TokenShift = FixedShift(),
        *,
        mesh: Mesh | None = None,
        keep_text_encoder: bool = True,
        fingerprints: Mapping[str, str] | None = None,
    ):
        self.sizes = LTX2Sizes(**{name: part.config for name, part in parts.items()})
        super().__init__(parts, tokenizer, mesh, keep_text_encoder, fingerprints)
        self.connectors = parts["connectors"]
        encoder = FeatureEncoder(parts[TEXT_ENCODER], self.connectors.features)
        self.prompts = PromptEncoder(encoder, tokenizer)
        self.transformer: LTX2DiT = parts[TRANSFORMER]
        self.vae: LTXVAE = parts["vae"]
        self.audio_vae, self.vocoder = parts["audio_vae"], parts["vocoder"]
        self.schedule = schedule

    @classmethod
    def load(
        cls, folder: str | Path, options: LoadOptions = LoadOptions()
    ) -> "LTX2Model":
        """The model of a converted checkpoint folder.

        Raises:
            ValueError: for a folder that holds something else (see `checkpoints.load`).
        """
        limit = LTX2Sizes.read(folder, options.transformer).transformer.text_limit
        tokenizer = Tokenizer.load(Path(folder) / "tokenizer", limit)
        stored = stored_names(options.transformer)
        card = Card.read(folder)
        parts = load_parts(Path(folder), card, parts_of(card), stored, options)
        return cls.assembled(card, parts, tokenizer, options)

    @classmethod
    def assembled(
        cls,
        card: Card,
        parts: Mapping[str, Any],
        tokenizer: Tokenizer,
        options: LoadOptions,
    ) -> "LTX2Model":
        """The model of parts that are those of a card."""
        stored = stored_names(options.transformer)
        return cls(
            parts,
            tokenizer,
            schedule_of(card.scheduler),
            mesh=options.mesh,
            keep_text_encoder=options.keep_text_encoder,
            fingerprints={name: card.part(stored[name]).fingerprint for name in PARTS},
        )

    @property
    def parts(self) -> Mapping[str, Any]:
        """The modules by name as they are now; None for a text encoder that was
        freed."""
        encoder = self.prompts.encoder
        gemma = encoder.gemma if isinstance(encoder, FeatureEncoder) else None
        names = ("transformer", "vae", "connectors", "audio_vae", "vocoder")
        return {TEXT_ENCODER: gemma, **{name: getattr(self, name) for name in names}}

    @property
    def transformers(self) -> Mapping[str, LTX2DiT]:
        """The one transformer."""
        return {TRANSFORMER: self.transformer}

    @property
    def numerics(self) -> str:
        """The dtypes of all parts."""
        return " ".join(getattr(self.sizes, name).dtype for name in PARTS)

    def geometry(self, request: Request) -> Geometry:
        """The shapes of a request's latents, video and audio. ValueError for what does
        not fit (see `LTX2Sizes.check`)."""
        self.sizes.check(request)
        config, grid = self.sizes.transformer, self.sizes.grid(request)
        tile = Tiling.fitting(grid, config.tile).tile
        sound = (self.sizes.audio_tokens(request), config.audio_channels)
        streams = (("video", (*grid, config.in_channels)), ("audio", sound))
        return Geometry(streams, grid, config.patch, tile)

    def solver(self, request: Request) -> Solver:
        """The request's solver over the schedule's levels, or over those that it gives
        itself, as distilled models want them."""
        if not isinstance(request.steps, int):
            return request.make_solver()
        tokens = self.sizes.token_count(request)
        levels = self.schedule.sigmas(request.steps, tokens, request.shift)
        return named(request.solver)(Schedule.of(levels, levels * np.float32(1000)))

    def experts(self, request: Request) -> tuple[str, ...]:
        """The one transformer in every step."""
        return (TRANSFORMER,) * request.step_count

    def fps(self, request: Request) -> float:
        """The frames per second of a request: of its positions, and of its sound."""
        return fps_of(request)

    def condition(
        self,
        requests: Sequence[Request],
        tenant: str = "",
        tokens: Tokens | None = None,
    ) -> tuple[Mapping[str, AudioVideoConditions], tuple[str, ...]]:
        """Inputs of every step, and the cut end of each prompt."""
        first = requests[0]
        text = self.encode(requests, tenant, tokens)
        conditions = prepare(
            self.transformer,
            self.connectors,
            text.embeddings,
            text.lengths,
            guidance_of(requests, self.sizes.transformer.depth),
            solver=self.solver(first),
            grid=self.sizes.grid(first),
            audio_tokens=self.sizes.audio_tokens(first),
            scale=self.sizes.scale(first),
        )
        return {TRANSFORMER: conditions}, tuple(text.cut[: len(requests)])

    def text_values(self, conditions: Mapping[str, Any]) -> Float[Array, "l m c"]:
        """The values of the video's cross-attention that the first prompt's tokens
        have."""
        return conditions[TRANSFORMER].values

    def decode(
        self, latents: Latents, requests: Sequence[Request]
    ) -> Iterator[Float[Array, "b t y x 3"]]:
        """Frames of latents, a group per latent frame; all are decoded at once."""
        seeds = np.array([request.seed for request in requests], np.uint32)
        return decode_groups(self.vae, latents["video"], jnp.asarray(seeds))

    @property
    def sound_rate(self) -> int:
        """Samples of sound per second."""
        return self.sizes.vocoder.sample_rate

    def sound(self, latents: Latents) -> Float[Array, "b s channels"]:
        """The sound of latents, in [-1, 1]."""
        return sound_of(self.audio_vae, self.vocoder, latents["audio"])


@jax.jit
def sound_of(
    vae: AudioVAE, vocoder: Vocoder | BandVocoder, latents: Float[Array, "b n c"]
) -> Float[Array, "b s channels"]:
    """Latents to a spectrogram, and that to sound."""
    return vocoder(vae.decode(latents))
