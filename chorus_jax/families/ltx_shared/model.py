"""The base of loaded LTX-Video and LTX-2 models."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from chorus_jax.checkpoints import Card
from chorus_jax.families.forward import TRANSFORMER, Geometry, Latents
from chorus_jax.families.ltx_shared.folder import UPSAMPLER, LevelSchedule, LTXFolder
from chorus_jax.families.ltx_shared.given_frames import GIVEN, VIDEO
from chorus_jax.families.ltx_shared.solving import check_cache, solver_of
from chorus_jax.families.ltx_shared.upsampler import LTXUpsampler, enlarged
from chorus_jax.families.ltx_vae.vae import LTXVAE, decode_groups
from chorus_jax.families.protocols import LoadOptions
from chorus_jax.families.single_stream.model import (
    SingleStreamModel,
    load_parts,
    must_know,
)
from chorus_jax.families.tiling import tiling_of
from chorus_jax.request import Request
from chorus_jax.schedulers import Solver
from chorus_jax.text.prompts import Tokenizer

T = TypeVar("T", bound="SharedLTXModel")


class SharedLTXModel(SingleStreamModel):
    """Loading, schedule, geometry and decoding of one LTX model; a family's subclass
    adds the conditions.

    Args:
        parts: the modules by name.
        tokenizer: the text encoder's tokenizer.
        schedule: computes the noise levels from the number of steps.
        mesh: the devices that its weights are spread over; None for jax's choice.
        keep_text_encoder: False frees its memory once prompts are encoded.
        fingerprints: the fingerprint of each part; None to compute them from the
            arrays.

    Attributes:
        folder: describes which parts of its folders are read.
        upsampler: enlarges latents for a second pass; None without.
    """

    folder: ClassVar[LTXFolder]
    sizes: Any

    def __init__(
        self,
        parts: Mapping[str, Any],
        tokenizer: Tokenizer,
        schedule: LevelSchedule,
        *,
        mesh: Mesh | None = None,
        keep_text_encoder: bool = True,
        fingerprints: Mapping[str, str] | None = None,
    ):
        configs = {name: part.config for name, part in parts.items()}
        self.sizes = self.folder.sizes(**configs)
        # Of no part in a first pass: recipes need not know it.
        first = {name: part for name, part in parts.items() if name != UPSAMPLER}
        super().__init__(first, tokenizer, mesh, keep_text_encoder, fingerprints)
        self.upsampler: LTXUpsampler | None = parts.get(UPSAMPLER)
        self.transformer: Any = parts[TRANSFORMER]
        self.vae: LTXVAE = parts["vae"]
        self.schedule = schedule

    @classmethod
    def load(
        cls: type[T], folder: str | Path, options: LoadOptions = LoadOptions()
    ) -> T:
        """The model of a converted checkpoint folder.

        Raises:
            ValueError: for a folder that holds something else (see `checkpoints.load`).
        """
        sizes = cls.folder.sizes.read(folder, options.transformer)
        limit = sizes.transformer.text_limit
        # Unlike Wan's, the makers of LTX only strip prompts: LTXVideoPipeline's
        # _text_preprocessing, and ltx-core's text_encoders/gemma/tokenizer.py.
        tokenizer = Tokenizer.load(Path(folder) / "tokenizer", limit, clean=str.strip)
        must_know(sizes.text_encoder.vocab, tokenizer)
        stored = cls.folder.names(options.transformer)
        card = Card.read(folder)
        cls.folder.schedule(card.scheduler)  # refuses one that is not known
        classes = cls.folder.parts(card)
        parts = load_parts(Path(folder), card, classes, stored, options)
        return cls.assembled(card, parts, tokenizer, options)

    @classmethod
    def assembled(
        cls: type[T],
        card: Card,
        parts: Mapping[str, Any],
        tokenizer: Tokenizer,
        options: LoadOptions,
    ) -> T:
        """Makes the model from its parts, which a card describes."""
        return cls(
            parts,
            tokenizer,
            cls.folder.schedule(card.scheduler),
            mesh=options.mesh,
            keep_text_encoder=options.keep_text_encoder,
            fingerprints=cls.folder.fingerprints(card, options.transformer),
        )

    @property
    def transformers(self) -> Mapping[str, Any]:
        """The transformer, by name."""
        return {TRANSFORMER: self.transformer}

    def geometry_with(
        self, request: Request, *others: tuple[str, tuple[int, ...]]
    ) -> Geometry:
        """The shapes of a request's latents; `others` are further streams. Raises a
        ValueError for a step cache that does not fit."""
        check_cache(request, self.sizes, self.schedule, self.folder.branches)
        config, grid = self.sizes.transformer, self.sizes.grid(request)
        streams = ((VIDEO, (*grid, config.in_channels)), *others)
        extra = self.sizes.extra(request)
        if extra:
            # One tile: regions are not run beside tokens that are of no tile.
            streams = (*streams, (GIVEN, (extra, config.in_channels)))
            return Geometry(streams, grid, config.patch, grid)
        layout = self.sizes.layout(request)
        given = () if layout is None else layout.whole_frames
        tile = tiling_of(grid, config.tile, given).tile
        return Geometry(streams, grid, config.patch, tile, given=given)

    def solver(self, request: Request) -> Solver:
        """The request's solver, with the model's noise levels for a number of steps, or
        with the levels that the request lists (for distilled models)."""
        return solver_of(request, self.sizes, self.schedule)

    def experts(self, request: Request) -> tuple[str, ...]:
        """One and the same transformer for all steps."""
        return (TRANSFORMER,) * request.step_count

    def larger(self, video: Float[Array, "b f h w c"]) -> Float[Array, "b f y x c"]:
        """The video's latents enlarged for a second pass.

        Raises:
            ValueError: if the checkpoint has no latent upsampler.
        """
        if self.upsampler is None:
            raise ValueError(
                "this model came without a latent upsampler: convert it with "
                "--latent-upsampler FILE"
            )
        return enlarged(self.upsampler, self.vae, video)

    def decode(
        self, latents: Latents, requests: Sequence[Request]
    ) -> Iterator[Float[Array, "b t y x 3"]]:
        """Yields the frames of latents, a group per latent frame; all are decoded at
        once."""
        latents = latents[VIDEO] if isinstance(latents, dict) else latents
        seeds = np.array([request.seed for request in requests], np.uint32)
        return decode_groups(self.vae, latents, jnp.asarray(seeds))
