"""A loaded Wan model: prompts to conditions, latents to frames."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.checkpoints import Card
from chorus_jax.families.forward import Geometry, Latents
from chorus_jax.families.protocols import LoadOptions, RunStart
from chorus_jax.families.single_stream.conditions import (
    FrozenTokens,
    StreamConditions,
)
from chorus_jax.families.single_stream.model import (
    VIDEO,
    SingleStreamModel,
    load_parts,
    must_know,
)
from chorus_jax.families.tiling import tiling_of
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.experts import (
    HIGH,
    LOW,
    check_boundary,
    experts,
    guidance_of,
)
from chorus_jax.families.wan.images import (
    Images,
    channels,
    first_latents,
    picture_tokens,
    video_latents,
)
from chorus_jax.families.wan.parts import (
    IMAGE,
    fingerprints_of,
    parts_of,
    stored_names,
)
from chorus_jax.families.wan.sizes import EXPANDED, Sizes
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.nets.clip_image import CLIPImageEncoder
from chorus_jax.nets.rotary import rotary_table
from chorus_jax.nets.tokens import Size, to_patches
from chorus_jax.request import Request
from chorus_jax.schedulers import Solver
from chorus_jax.text.cleaning import clean
from chorus_jax.text.prompts import Tokenizer, Tokens


class WanModel(SingleStreamModel):
    """The parts of one Wan model (see `protocols.VideoModel`).

    With two transformers, Wan 2.2's experts, `boundary` says which of them runs a step.
    With `expand_timesteps` a given first frame has a timestep of its own (TI2V-5B).
    """

    family = "wan"
    sizes: Sizes
    on_host: tuple[str, ...] = ()  # parts that are kept in the host's memory

    def __init__(
        self,
        parts: Mapping[str, Any],
        tokenizer: Tokenizer,
        *,
        mesh: Mesh | None = None,
        keep_text_encoder: bool = True,
        fingerprints: Mapping[str, str] | None = None,
        boundary: float | None = None,
        expand_timesteps: bool = False,
    ):
        configs = {name: part.config for name, part in parts.items()}
        self.sizes = Sizes(**configs, expand_timesteps=expand_timesteps)
        super().__init__(parts, tokenizer, mesh, keep_text_encoder, fingerprints)
        self.transformer: WanDiT = parts[HIGH]
        self.low: WanDiT | None = parts.get(LOW)
        check_boundary(boundary, self.low is not None)
        self.boundary = boundary
        self.vae: WanVAE = parts["vae"]
        self.tower: CLIPImageEncoder | None = parts.get(IMAGE)

    @classmethod
    def load(
        cls, folder: str | Path, options: LoadOptions = LoadOptions()
    ) -> "WanModel":
        """The model of a converted checkpoint folder.

        Raises:
            ValueError: for a folder that holds something else (see `checkpoints.load`).
        """
        sizes, card = Sizes.read(folder, options.transformer), Card.read(folder)
        limit = sizes.transformer.text_limit
        tokenizer = Tokenizer.load(Path(folder) / "tokenizer", limit, clean=clean)
        must_know(sizes.text_encoder.vocab, tokenizer)
        stored = stored_names(options.transformer)
        classes = parts_of(card, options.transformer)
        check_boundary(boundary_of(card, LOW in classes), LOW in classes)
        parts = load_parts(Path(folder), card, classes, stored, options, cls.on_host)
        return cls.assembled(card, parts, tokenizer, options)

    @classmethod
    def assembled(
        cls,
        card: Card,
        parts: Mapping[str, Any],
        tokenizer: Tokenizer,
        options: LoadOptions,
    ) -> "WanModel":
        """Makes the model from its parts, which a card describes."""
        return cls(
            parts,
            tokenizer,
            mesh=options.mesh,
            keep_text_encoder=options.keep_text_encoder,
            fingerprints=fingerprints_of(card, options.transformer),
            boundary=boundary_of(card, LOW in parts),
            expand_timesteps=bool(card.settings.get(EXPANDED)),
        )

    @property
    def transformers(self) -> Mapping[str, WanDiT]:
        """The one transformer, or the two experts."""
        high = {HIGH: self.transformer}
        return high if self.low is None else high | {LOW: self.low}

    @property
    def parts(self) -> Mapping[str, Any]:
        """The modules by name as they are now."""
        tower = {} if self.tower is None else {IMAGE: self.tower}
        return {**super().parts, **tower}

    @property
    def numerics(self) -> str:
        """The dtypes of transformer, text encoder, VAE, and image encoder."""
        sizes = self.sizes
        parts = (sizes.transformer, sizes.text_encoder, sizes.vae, sizes.image_encoder)
        return " ".join(part.dtype for part in parts if part is not None)

    def geometry(self, request: Request) -> Geometry:
        """The shapes of a request's latents. Raises a ValueError for sizes that do not
        divide, naming the nearest that do, and for guidance scales of experts that the
        model does not have."""
        self.sizes.check(request)
        config = self.sizes.transformer
        shape, grid = self.sizes.latent_shape(request), self.sizes.grid(request)
        given = (0,) if self.sizes.first_given(request) else ()
        tile = tiling_of(grid, config.tile, given).tile
        return Geometry((("video", shape),), grid, config.patch, tile, given=given)

    def solver(self, request: Request) -> Solver:
        """The request's solver; Wan's schedule does not depend on the number of
        tokens."""
        return request.make_solver()

    def experts(self, request: Request) -> tuple[str, ...]:
        """The name of the transformer that runs each step."""
        return experts(self.solver(request).schedule.timesteps, self.boundary)

    def fps(self, request: Request) -> None:
        """None, because Wan's positions count frames, not seconds."""

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
        images = self.images(requests, tenant)
        conditions = {
            name: self.prepared(
                transformer,
                text.embeddings,
                text.lengths,
                scales(requests, name),
                images,
                solver=self.solver(first),
                grid=self.sizes.grid(first),
                first_given=self.sizes.first_given(first),
            )
            for name, transformer in self.transformers.items()
        }
        return conditions, tuple(text.cut[: len(requests)])

    def prepared(
        self, transformer: WanDiT, *given: Any, **shapes: Any
    ) -> StreamConditions:
        """The conditions that a transformer makes (see `prepare`)."""
        return prepare(transformer, *given, **shapes)

    def images(self, requests: Sequence[Request], tenant: str = "") -> Images:
        """The encoded images of requests, which all steps read."""
        beside = tokens = None
        if self.sizes.conditioned:
            beside = self.inputs("vae", channels, self.vae, requests, tenant)
        if self.tower is not None:
            tokens = self.inputs(IMAGE, picture_tokens, self.tower, requests, tenant)
        return Images(beside, tokens)

    def begin(
        self, noise: Latents, requests: Sequence[Request], start: RunStart
    ) -> Latents:
        """The first latents of runs: noise, or noised initial latents; for TI2V-5B with
        given first frames inserted."""
        made = super().begin(noise, requests, start)
        if not self.sizes.first_given(requests[0]):
            return made
        first = self.inputs("vae", first_latents, self.vae, requests, start.tenant)
        return made.at[:, :1].set(first)

    def initial_latents(
        self, requests: Sequence[Request], tenant: str = ""
    ) -> dict[str, Array]:
        """The latents of the videos that requests begin from."""
        inputs = requests[0].inputs
        if inputs is None or inputs.video is None:
            return {}
        return {VIDEO: self.inputs("vae", video_latents, self.vae, requests, tenant)}

    def inputs(
        self,
        part: str,
        encode: Callable[[Any, Request], Array],
        module: Any,
        requests: Sequence[Request],
        tenant: str,
    ) -> Array:
        """Encodes the inputs of requests, or takes the encodings from the cache.

        Args:
            part: the name of the model's part that encodes, whose fingerprint is in the
                cache's key.
            encode: encodes the inputs of one request by that part.
            module: the part.
            requests: requests with inputs, of one size.
            tenant: their owner.
        """
        rows = [
            self.encoded_input(
                *(part, encode.__name__, request, tenant),
                partial(encode, module, request),
            )
            for request in requests
        ]
        return jnp.stack(rows)

    def decode(
        self, latents: Float[Array, "b f h w c"], requests: Sequence[Request]
    ) -> Iterator[Float[Array, "b t y x 3"]]:
        """Yields the frames of latents, a group per latent frame."""
        return self.vae.decode_stream(latents)


def boundary_of(card: Card, paired: bool) -> float | None:
    """The boundary between two experts; None if there is one transformer."""
    return card.settings.get("boundary_ratio") if paired else None


def scales(requests: Sequence[Request], expert: str) -> Float32[Array, " b"] | None:
    """The guidance scales in the steps of an expert; None without guidance."""
    if not requests[0].guided:
        return None
    return jnp.array([guidance_of(request, expert) for request in requests])


@partial(jax.jit, static_argnames=("solver", "grid", "first_given"))
def prepare(
    model: WanDiT,
    text: Float[Array, "r m t"],
    lengths: Int[Array, " r"],
    guidance: Float32[Array, " b"] | None,
    images: Images = Images(),
    *,
    solver: Solver,
    grid: Size,
    first_given: bool = False,
) -> StreamConditions:
    """Computes text keys and values, the modulation of all steps, and rotary tables.

    Args:
        model: the transformer.
        text: b rows, or, with guidance, b prompts and then b negative prompts.
        lengths: the number of tokens of each row, which is zero after them (see
            `WanDiT.context`).
        guidance: the scale of each request, None for none.
        images: the images of the requests, which all branches read.
        solver: the solver, whose schedule gives the timesteps.
        grid: the video's tokens along frames, height and width.
        first_given: whether the tokens of the first frame stay as they are, at timestep
            0 in all steps.
    """
    times = jnp.asarray(solver.schedule.timesteps, jnp.float32)
    frozen = first_frame_frozen(solver.schedule.steps, grid) if first_given else None
    if frozen is not None:
        times = jnp.stack([times, jnp.zeros_like(times)], axis=1)
    channels, pictures = images
    if pictures is not None:
        pictures = jnp.concatenate([pictures] * (len(text) // len(pictures)))
    if channels is not None:
        channels = to_patches(channels, model.config.patch)
    return StreamConditions(
        context=model.context(text, lengths, pictures),
        times=model.times(times),
        rotary=rotary_table(grid, model.config.head_width),
        guidance=guidance,
        images=channels,
        frozen=frozen,
    )


def first_frame_frozen(steps: int, grid: Size) -> FrozenTokens:
    """The tokens of a given first frame, which no step moves."""
    f, h, w = grid
    kinds = jnp.repeat(jnp.arange(f) == 0, h * w).astype(jnp.int32)
    return FrozenTokens(kinds, jnp.tile(jnp.array([True, False]), (steps, 1)))
