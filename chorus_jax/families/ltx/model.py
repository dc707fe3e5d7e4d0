"""A loaded LTX-Video model: prompts to conditions, latents to frames."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from chorus_jax.families.forward import TRANSFORMER, Geometry, Latents
from chorus_jax.families.ltx.encoding import encoded, video_latents, with_given
from chorus_jax.families.ltx.preparing import perturbation, prepare, scales
from chorus_jax.families.ltx.schedule import TokenShift, schedule_of
from chorus_jax.families.ltx.sizes import FPS, LTXSizes, parts_of, stored_names
from chorus_jax.families.ltx_shared.folder import LevelSchedule, LTXFolder
from chorus_jax.families.ltx_shared.given_frames import VIDEO, keyframes
from chorus_jax.families.ltx_shared.model import SharedLTXModel
from chorus_jax.families.ltx_shared.upsampler import with_statistics
from chorus_jax.families.protocols import RunStart
from chorus_jax.families.single_stream.block import BRANCHES
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.request import Request
from chorus_jax.text.prompts import Tokenizer, Tokens


class LTXModel(SharedLTXModel):
    """The parts of one LTX-Video model (see `protocols.VideoModel`)."""

    family = "ltx"
    sizes: LTXSizes
    folder = LTXFolder(LTXSizes, parts_of, stored_names, schedule_of, BRANCHES)

    def __init__(
        self,
        parts: Mapping[str, Any],
        tokenizer: Tokenizer,
        schedule: LevelSchedule = TokenShift(),
        **options: Any,
    ):
        """`options` are those of `SharedLTXModel`."""
        super().__init__(parts, tokenizer, schedule, **options)

    @property
    def numerics(self) -> str:
        """The dtypes of transformer, text encoder and VAE."""
        sizes = self.sizes
        parts = (sizes.transformer, sizes.text_encoder, sizes.vae)
        return " ".join(part.dtype for part in parts)

    def geometry(self, request: Request) -> Geometry:
        """The shapes of a request's latents. Raises a ValueError for what does not fit
        (see `LTXSizes.check`)."""
        self.sizes.check(request)
        layout = self.sizes.layout(request)
        soft = layout is not None and bool(layout.soft)
        return replace(self.geometry_with(request), soft=soft)

    def fps(self, request: Request) -> float:
        """The frames per second that a request's positions are computed with; the
        makers' default if it gives none."""
        return float(FPS) if request.fps is None else request.fps

    def condition(
        self,
        requests: Sequence[Request],
        tenant: str = "",
        tokens: Tokens | None = None,
    ) -> tuple[Mapping[str, StreamConditions], tuple[str, ...]]:
        """The conditions of all steps, and for each prompt the text cut off at the text
        limit."""
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

    def initial_latents(
        self, requests: Sequence[Request], tenant: str = ""
    ) -> dict[str, Array]:
        """The latents of the videos that requests begin from."""
        inputs = [request.inputs for request in requests]
        videos = [x.video for x in inputs if x is not None and x.video is not None]
        if not videos:
            return {}
        rows = [video_latents(self.vae, *x) for x in zip(videos, requests, strict=True)]
        return {VIDEO: jnp.concatenate(rows)}

    def begin(
        self, noise: Latents, requests: Sequence[Request], start: RunStart
    ) -> Latents:
        """The first latents of runs: noise, or noised initial latents, with given
        frames inserted."""
        noise = super().begin(noise, requests, start)
        layout = self.sizes.layout(requests[0])
        if layout is None:
            return noise
        rows = [self.given_latents(request, start.tenant) for request in requests]
        return with_given(noise, rows, layout)

    def given_latents(self, request: Request, tenant: str) -> list[np.ndarray | Array]:
        """The latents of each given frame or clip of a request, remembered for this
        tenant: a hit begins from them at several noise levels."""
        return [
            self.encoded_input(
                *("vae", item, request, tenant),
                partial(encoded, self.vae, request, item),
            )
            for item in range(len(keyframes(request.inputs, request.frames)))
        ]

    def enlarge(self, latents: Latents) -> dict[str, Array]:
        """The video's latents at twice the height and width, with the means and
        deviations of the original ones (AdaIN), for a second pass. Raises a ValueError
        without a latent upsampler."""
        video = jnp.asarray(latents[VIDEO] if isinstance(latents, dict) else latents)
        return {VIDEO: with_statistics(self.larger(video), video)}
