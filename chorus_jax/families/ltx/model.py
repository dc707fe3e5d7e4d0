"""A loaded LTX-Video model: prompts to conditions, latents to frames."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from chorus_jax.checkpoints import Card
from chorus_jax.families.forward import TRANSFORMER, Geometry, Latents
from chorus_jax.families.ltx.dit import GIVEN, VIDEO, LTXDiT
from chorus_jax.families.ltx.encoding import with_given
from chorus_jax.families.ltx.preparing import perturbation, prepare, scales
from chorus_jax.families.ltx.schedule import LinearQuadratic, TokenShift, schedule_of
from chorus_jax.families.ltx.sizes import (
    FPS,
    PARTS,
    UPSAMPLER,
    LTXSizes,
    parts_of,
    stored_names,
)
from chorus_jax.families.ltx.upsampler import LTXUpsampler, enlarged
from chorus_jax.families.ltx_vae.vae import LTXVAE, decode_groups
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.families.single_stream.model import SingleStreamModel, load_parts
from chorus_jax.nets.tokens import Tiling
from chorus_jax.request import Request
from chorus_jax.schedulers import Schedule, Solver, named
from chorus_jax.text.prompts import Tokenizer, Tokens


class LTXModel(SingleStreamModel):
    """The parts of one LTX-Video model (see `protocols.VideoModel`)."""

    family = "ltx"
    sizes: LTXSizes

    def __init__(
        self,
        parts: Mapping[str, Any],
        tokenizer: Tokenizer,
        schedule: TokenShift | LinearQuadratic = TokenShift(),
        *,
        mesh: Mesh | None = None,
        keep_text_encoder: bool = True,
        fingerprints: Mapping[str, str] | None = None,
    ):
        self.sizes = LTXSizes(**{name: part.config for name, part in parts.items()})
        # Of no part in a first pass: recipes need not know it.
        first = {name: part for name, part in parts.items() if name != UPSAMPLER}
        super().__init__(first, tokenizer, mesh, keep_text_encoder, fingerprints)
        self.upsampler: LTXUpsampler | None = parts.get(UPSAMPLER)
        self.transformer: LTXDiT = parts[TRANSFORMER]
        self.vae: LTXVAE = parts["vae"]
        self.schedule = schedule

    @classmethod
    def load(
        cls, folder: str | Path, options: LoadOptions = LoadOptions()
    ) -> "LTXModel":
        """The model of a converted checkpoint folder.

        Raises:
            ValueError: for a folder that holds something else (see `checkpoints.load`).
        """
        limit = LTXSizes.read(folder, options.transformer).transformer.text_limit
        tokenizer = Tokenizer.load(Path(folder) / "tokenizer", limit)
        stored = stored_names(options.transformer)
        card = Card.read(folder)
        parts = load_parts(Path(folder), card, parts_of(card), stored, options)
        return cls(
            parts,
            tokenizer,
            schedule_of(card.scheduler),
            mesh=options.mesh,
            keep_text_encoder=options.keep_text_encoder,
            fingerprints={name: card.part(stored[name]).fingerprint for name in PARTS},
        )

    @property
    def transformers(self) -> Mapping[str, LTXDiT]:
        """The one transformer."""
        return {TRANSFORMER: self.transformer}

    @property
    def numerics(self) -> str:
        """The dtypes of transformer, text encoder and VAE."""
        sizes = self.sizes
        parts = (sizes.transformer, sizes.text_encoder, sizes.vae)
        return " ".join(part.dtype for part in parts)

    def geometry(self, request: Request) -> Geometry:
        """The shapes of a request's latents. ValueError for what does not fit (see
        `LTXSizes.check`)."""
        self.sizes.check(request)
        config, grid = self.sizes.transformer, self.sizes.grid(request)
        video = (VIDEO, (*grid, config.in_channels))
        extra = self.sizes.extra(request)
        if extra:
            # One tile: regions are not run beside tokens that are of no tile.
            streams = (video, (GIVEN, (extra, config.in_channels)))
            return Geometry(streams, grid, config.patch, grid)
        tile = Tiling.fitting(grid, config.tile).tile
        return Geometry((video,), grid, config.patch, tile)

    def solver(self, request: Request) -> Solver:
        """The request's solver over the levels of its video's number of tokens, or over
        those that it gives itself, as distilled models want them."""
        if not isinstance(request.steps, int):
            return request.make_solver()
        tokens = self.sizes.token_count(request)
        levels = self.schedule.sigmas(request.steps, tokens, request.shift)
        return named(request.solver)(Schedule.of(levels, levels * np.float32(1000)))

    def experts(self, request: Request) -> tuple[str, ...]:
        """The one transformer in every step."""
        return (TRANSFORMER,) * request.step_count

    def fps(self, request: Request) -> float:
        """The frames per second of a request's positions, the makers' usual ones if it
        names none."""
        return float(FPS) if request.fps is None else request.fps

    def condition(
        self,
        requests: Sequence[Request],
        tenant: str = "",
        tokens: Tokens | None = None,
    ) -> tuple[Mapping[str, StreamConditions], tuple[str, ...]]:
        """Inputs of every step, and the cut end of each prompt."""
        first = requests[0]
        text = self.encode(requests, tenant, tokens)
        solver, schedule = self.solver(first), first.guidance_schedule
        star = schedule is not None and schedule.star
        conditions = prepare(
            self.transformer,
            text.embeddings,
            text.lengths,
            scales(requests, solver),
            perturbation(requests, solver, self.sizes.transformer.depth),
            jnp.array(True) if star else None,
            solver=solver,
            grid=self.sizes.grid(first),
            scale=self.sizes.scale(self.fps(first)),
            layout=self.sizes.layout(first),
        )
        return {TRANSFORMER: conditions}, tuple(text.cut[: len(requests)])

    def begin(
        self, noise: Latents, requests: Sequence[Request], tenant: str = ""
    ) -> Latents:
        """Noise with the latents of given frames in their places."""
        layout = self.sizes.layout(requests[0])
        if layout is None:
            return noise
        return with_given(self.vae, noise, requests, layout)

    def with_given(
        self, latents: Latents, requests: Sequence[Request], tenant: str = ""
    ) -> Latents:
        """Latents of an earlier run with the given frames of full strength."""
        layout = self.sizes.layout(requests[0])
        if layout is None:
            return latents
        return with_given(self.vae, latents, requests, layout, least=1.0)

    def enlarge(self, latents: Latents) -> Latents:
        """The video's latents at twice the height and width, for a second pass.

        Raises:
            ValueError: if the checkpoint has no latent upsampler.
        """
        if self.upsampler is None:
            raise ValueError(
                "this LTX-Video came without a latent upsampler: convert it with "
                "--latent-upsampler FILE"
            )
        video = latents[VIDEO] if isinstance(latents, dict) else latents
        return enlarged(self.upsampler, self.vae, jnp.asarray(video))

    def decode(
        self, latents: Latents, requests: Sequence[Request]
    ) -> Iterator[Float[Array, "b t y x 3"]]:
        """Frames of latents, a group per latent frame; all are decoded at once."""
        latents = latents[VIDEO] if isinstance(latents, dict) else latents
        seeds = np.array([request.seed for request in requests], np.uint32)
        return decode_groups(self.vae, latents, jnp.asarray(seeds))
