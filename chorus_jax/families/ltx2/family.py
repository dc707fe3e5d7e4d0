"""LTX-2 as the registry lists it: how its folders are loaded and described."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jax.sharding import Mesh

from chorus_jax import checkpoints
from chorus_jax.families.describing import others_of, part_lines
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.ltx2 import outlines
from chorus_jax.families.ltx2.model import LTX2Model
from chorus_jax.families.ltx2.sizes import FPS, PARTS, LTX2Sizes, parts_of, stored_names
from chorus_jax.families.ltx2.variants import PUBLISHED, defaults_of
from chorus_jax.families.memory import check_request_memory, least_memory
from chorus_jax.families.outlines import Outline, named
from chorus_jax.families.protocols import Defaults, LoadOptions
from chorus_jax.request import Request

LICENCE = "LTX-2 Community License (not Apache): read it before using the weights"


class LTX2Family:
    """LTX-2 text to video with sound (see `protocols.Family`)."""

    name = "ltx2"
    fps = FPS
    published: Mapping[str, Defaults] = PUBLISHED

    def load(self, folder: Path, options: LoadOptions) -> LTX2Model:
        """The model of a converted checkpoint folder. ValueError for another's."""
        return LTX2Model.load(folder, options)

    def check(
        self, folder: Path, transformer: str, request: Request, mesh: Mesh | None
    ) -> None:
        """ValueError for what cannot run together (see `LTX2Sizes.check`), or for which
        there is too little memory."""
        sizes = LTX2Sizes.read(folder, transformer)
        sizes.check(request)
        if mesh is not None:
            sizes.check_mesh(mesh, request, 1)
        card, names = checkpoints.Card.read(folder), stored_names(transformer)
        grid = sizes.grid(request)
        needed = least_memory(
            [card.part(names[name]) for name in parts_of(card)],
            sizes.transformer,
            grid,
            (*grid, sizes.transformer.in_channels),
            request,
        )
        check_request_memory(needed, request)

    def card(self, name: str) -> checkpoints.Card:
        """The card of a published model, as it is converted by default. ValueError for
        another name."""
        return named(outlines.CARDS, name)

    def outline(
        self, card: checkpoints.Card, transformer: str = TRANSFORMER
    ) -> Outline:
        """The model that a card describes, without weights."""
        return outlines.outline(card, transformer)

    def defaults(self, folder: Path, transformer: str = TRANSFORMER) -> Defaults:
        """The settings of a folder's model, as published if it is recognised."""
        scheduler = checkpoints.Card.read(folder).scheduler
        return defaults_of(LTX2Sizes.read(folder, transformer), scheduler)

    def distilled(self, folder: Path) -> tuple[str, ...]:
        """The parts that can be run in place of the usual transformer."""
        return others_of(folder, PARTS[TRANSFORMER][0], (TRANSFORMER,))

    def lines(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Each part's size, the memory of all, what attends here, and the licence."""
        parts = parts_of(checkpoints.Card.read(folder))
        others = {
            name: LTX2Sizes.read(folder, name).transformer
            for name in self.distilled(folder)
        }
        yield from part_lines(LTX2Sizes.read(folder), parts, others)
        yield "licence", LICENCE
