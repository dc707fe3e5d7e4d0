"""A loaded LTX-2 model: prompts to conditions, latents to frames and sound."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from chorus_jax.families.forward import TRANSFORMER, Geometry, Latents
from chorus_jax.families.ltx2.audio_vae import AudioVAE
from chorus_jax.families.ltx2.band_vocoder import BandVocoder
from chorus_jax.families.ltx2.block import BRANCHES
from chorus_jax.families.ltx2.conditions import AudioVideoConditions
from chorus_jax.families.ltx2.connectors import FeatureEncoder
from chorus_jax.families.ltx2.encoding import clean_tokens
from chorus_jax.families.ltx2.given_tokens import TOKEN, started_tokens
from chorus_jax.families.ltx2.preparing import guidance_of, prepare
from chorus_jax.families.ltx2.schedule import FixedShift, schedule_of
from chorus_jax.families.ltx2.sizes import (
    PARTS,
    LTX2Sizes,
    fps_of,
    parts_of,
    stored_names,
)
from chorus_jax.families.ltx2.vocoder import Vocoder
from chorus_jax.families.ltx_shared.folder import LevelSchedule, LTXFolder
from chorus_jax.families.ltx_shared.given_frames import GIVEN, VIDEO
from chorus_jax.families.ltx_shared.model import SharedLTXModel
from chorus_jax.families.protocols import RunStart
from chorus_jax.families.single_stream.model import TEXT_ENCODER
from chorus_jax.request import Request
from chorus_jax.text.prompts import PromptEncoder, Tokenizer, Tokens


class LTX2Model(SharedLTXModel):
    """The parts of one LTX-2 model (see `protocols.VideoModel`).

    Of each prompt its features are remembered: the text encoder's states of all layers,
    normed and projected.
    """

    family = "ltx2"
    sizes: LTX2Sizes

    folder = LTXFolder(LTX2Sizes, parts_of, stored_names, schedule_of, BRANCHES)

    def __init__(
        self,
        parts: Mapping[str, Any],
        tokenizer: Tokenizer,
        schedule: LevelSchedule = FixedShift(),
        *,
        clean_levels: str = TOKEN,
        **options: Any,
    ):
        """`clean_levels` says at which noise level the clean estimates of given tokens
        are made: each token's (`TOKEN`) or, as diffusers does, the step's (`STEP`).
        `options` are those of `SharedLTXModel`."""
        super().__init__(parts, tokenizer, schedule, **options)
        self.clean_levels = clean_levels
        self.connectors = parts["connectors"]
        encoder = FeatureEncoder(parts[TEXT_ENCODER], self.connectors.features)
        self.prompts = PromptEncoder(encoder, tokenizer)
        self.audio_vae, self.vocoder = parts["audio_vae"], parts["vocoder"]

    @property
    def parts(self) -> Mapping[str, Any]:
        """The modules by name as they are now; None for a text encoder that was
        freed."""
        encoder = self.prompts.encoder
        gemma = encoder.gemma if isinstance(encoder, FeatureEncoder) else None
        names = ("transformer", "vae", "connectors", "audio_vae", "vocoder")
        return {TEXT_ENCODER: gemma, **{name: getattr(self, name) for name in names}}

    @property
    def numerics(self) -> str:
        """The dtypes of all parts, and `clean_levels` if it differs from the
        makers'."""
        dtypes = [getattr(self.sizes, name).dtype for name in PARTS]
        others = [] if self.clean_levels == TOKEN else [self.clean_levels]
        return " ".join([*dtypes, *others])

    def geometry(self, request: Request) -> Geometry:
        """The shapes of a request's latents, video and audio. Raises a ValueError for
        what does not fit (see `LTX2Sizes.check`)."""
        self.sizes.check(request)
        channels = self.sizes.transformer.audio_channels
        return self.geometry_with(
            request, ("audio", (self.sizes.audio_tokens(request), channels))
        )

    def fps(self, request: Request) -> float:
        """The frames per second of a request, which its positions and its sound's
        length depend on."""
        return fps_of(request)

    def condition(
        self,
        requests: Sequence[Request],
        tenant: str = "",
        tokens: Tokens | None = None,
    ) -> tuple[Mapping[str, AudioVideoConditions], tuple[str, ...]]:
        """The conditions of all steps, and for each prompt the text cut off at the text
        limit."""
        first = requests[0]
        text = self.encode(requests, tenant, tokens)
        layout, grid = self.sizes.layout(first), self.sizes.grid(first)
        clean = (
            None if layout is None else clean_tokens(self.vae, requests, layout, grid)
        )
        conditions = prepare(
            self.transformer,
            self.connectors,
            text.embeddings,
            text.lengths,
            guidance_of(requests, self.sizes.transformer.depth),
            clean,
            solver=self.solver(first),
            grid=grid,
            audio_tokens=self.sizes.audio_tokens(first),
            scale=self.sizes.scale(first),
            layout=layout,
            levels=self.clean_levels,
        )
        return {TRANSFORMER: conditions}, tuple(text.cut[: len(requests)])

    def text_values(self, conditions: Mapping[str, Any]) -> Float[Array, "l m c"]:
        """The values of the first prompt's tokens in the video's cross-attention."""
        return conditions[TRANSFORMER].values

    def begin(
        self, noise: Latents, requests: Sequence[Request], start: RunStart
    ) -> Latents:
        """The first latents of runs: noise, or noised initial latents, with given
        frames inserted."""
        made = super().begin(noise, requests, start)
        given = start.conditions[TRANSFORMER].given
        if given is None:
            return made
        streams = [name for name in (VIDEO, GIVEN) if name in noise]
        own = {**made, **{name: noise[name] for name in streams}}
        return started_tokens(own, given, start.initial_latents.get(VIDEO), start.level)

    def enlarge(self, latents: Latents) -> dict[str, Array]:
        """The video's latents enlarged for a second pass, and the audio's unchanged.
        Raises a ValueError without a latent upsampler."""
        video, audio = (jnp.asarray(latents[name]) for name in (VIDEO, "audio"))
        return {VIDEO: self.larger(video), "audio": audio}

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
    """Decodes latents to a spectrogram, and the spectrogram to sound."""
    return vocoder(vae.decode(latents))
