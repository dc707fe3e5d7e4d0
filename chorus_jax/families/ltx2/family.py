"""LTX-2 as the registry lists it: how its folders are loaded and described."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from chorus_jax import checkpoints
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.ltx2.model import LTX2Model
from chorus_jax.families.ltx2.outlines import CARDS
from chorus_jax.families.ltx2.sizes import FPS, LTX2Sizes
from chorus_jax.families.ltx2.variants import PUBLISHED, defaults_of
from chorus_jax.families.ltx_shared.base_family import SharedLTXFamily, with_file
from chorus_jax.families.protocols import Defaults

LICENCE = "LTX-2 Community License (not Apache): read it before using the weights"


class LTX2Family(SharedLTXFamily):
    """LTX-2 text to video with sound (see `protocols.Family`)."""

    name = "ltx2"
    fps = FPS
    published: Mapping[str, Defaults] = PUBLISHED
    model = LTX2Model
    cards = CARDS

    def defaults(self, folder: Path, transformer: str = TRANSFORMER) -> Defaults:
        """The settings of a folder's model, as published if it is recognised."""
        scheduler = checkpoints.Card.read(folder).scheduler
        defaults = defaults_of(LTX2Sizes.read(folder, transformer), scheduler)
        return with_file(defaults, scheduler)

    def lines(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Yields lines that describe each part's size, the memory of all, the attention
        implementations, and the licence."""
        yield from super().lines(folder)
        yield "licence", LICENCE
