"""Wan as the registry lists it: how its folders are loaded, checked and described."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from chorus_jax.checkpoints import Card
from chorus_jax.families.describing import others_of, part_lines
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.memory import check_request_memory
from chorus_jax.families.outlines import Outline, named
from chorus_jax.families.protocols import (
    HOST,
    Defaults,
    LoadOptions,
    RequestCheck,
)
from chorus_jax.families.wan import outlines
from chorus_jax.families.wan.area import fitted
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.experts import LOW
from chorus_jax.families.wan.memory import least_memory
from chorus_jax.families.wan.model import WanModel
from chorus_jax.families.wan.offloaded import OffloadedWanModel
from chorus_jax.families.wan.parts import fingerprints_of, parts_of
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.families.wan.variants import FPS, PUBLISHED, defaults_of
from chorus_jax.request import Request


class WanFamily:
    """Wan 2.1 and 2.2 (see `protocols.Family`)."""

    name = "wan"
    fps = FPS
    published: Mapping[str, Defaults] = PUBLISHED

    def load(self, folder: Path, options: LoadOptions) -> WanModel:
        """Loads the model of a converted checkpoint folder. Raises a ValueError for a
        folder of another family."""
        options.check_experts(Sizes.read(folder, options.transformer).experts)
        host = options.idle_expert == HOST
        return (OffloadedWanModel if host else WanModel).load(folder, options)

    def checker(
        self, folder: Path, options: LoadOptions = LoadOptions()
    ) -> RequestCheck:
        """The check of requests. It raises a ValueError for sizes that the model or the
        mesh does not divide, and for a request that needs more memory than there is.

        Raises:
            ValueError: for options that the model does not have.
        """
        sizes, card = Sizes.read(folder, options.transformer), Card.read(folder)
        options.check_experts(sizes.experts)

        def check(request: Request, batch: int = 1, held_keys: bool = False) -> None:
            sizes.check(request)
            if options.mesh is not None:
                sizes.check_mesh(options.mesh, request, batch)
            needed = least_memory(sizes, card, request, options, batch, held_keys)
            check_request_memory(needed, request, batch, options.mesh)

        return check

    def card(self, name: str) -> Card:
        """The card of a published model, as it is converted by default. Raises a
        ValueError for an unknown name."""
        return named(outlines.CARDS, name)

    def outline(self, card: Card, transformer: str = TRANSFORMER) -> Outline:
        """The model that a card describes, without weights."""
        return outlines.outline(card, transformer)

    def defaults(self, folder: Path, transformer: str = TRANSFORMER) -> Defaults:
        """The settings of a folder's model, as published if it is recognised."""
        card = Card.read(folder)
        sizes = Sizes.read(folder, transformer)
        defaults = defaults_of(sizes, transformer, card.scheduler)
        return replace(defaults, fit=partial(fitted, sizes))

    def fingerprints(self, folder: Path, transformer: str) -> Mapping[str, str]:
        """Fingerprints of the weights that a run reads, by part."""
        return fingerprints_of(Card.read(folder), transformer)

    def distilled(self, folder: Path) -> tuple[str, ...]:
        """The parts that can be run in place of the usual transformer."""
        return others_of(folder, WanDiT, (TRANSFORMER, LOW))

    def lines(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Yields lines that describe each part's size, the memory of all, and the
        attention implementations."""
        sizes, parts = Sizes.read(folder), parts_of(Card.read(folder))
        others = {
            name: Sizes.read(folder, name).transformer
            for name in self.distilled(folder)
        }
        yield from part_lines(sizes, parts, others)
