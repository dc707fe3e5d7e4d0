"""LTX-2 as the registry lists it: how its folders are loaded and described."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from jax.sharding import Mesh

from chorus_jax import checkpoints
from chorus_jax.families.describing import GIB, attention_lines, described
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.ltx2.model import LTX2Model
from chorus_jax.families.ltx2.sizes import FPS, PARTS, LTX2Sizes, parts_of
from chorus_jax.families.ltx2.variants import PUBLISHED, defaults_of
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
        """ValueError for what cannot run together (see `LTX2Sizes.check`)."""
        sizes = LTX2Sizes.read(folder, transformer)
        sizes.check(request)
        if mesh is not None:
            sizes.check_mesh(mesh, request, 1)

    def defaults(self, folder: Path, transformer: str = TRANSFORMER) -> Defaults:
        """The settings of a folder's model, as published if it is recognised."""
        scheduler = checkpoints.Card.read(folder).scheduler
        return defaults_of(LTX2Sizes.read(folder, transformer), scheduler)

    def distilled(self, folder: Path) -> tuple[str, ...]:
        """The parts that can be run in place of the usual transformer."""
        model = PARTS[TRANSFORMER][0].__name__
        return tuple(
            name
            for name, part in checkpoints.Card.read(folder).parts.items()
            if part.model == model and name != TRANSFORMER
        )

    def lines(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Each part's size, the memory of all, what attends here, and the licence."""
        sizes, total = LTX2Sizes.read(folder), 0
        for name, (model, _) in parts_of(checkpoints.Card.read(folder)).items():
            text, size = described(model, getattr(sizes, name))
            total += size
            yield name, text
        yield "memory, weights only", f"{total / GIB:.3f} GiB"
        yield from attention_lines(sizes.transformer)
        yield "licence", LICENCE
