"""LTX-Video as the registry lists it: how its folders are loaded and described."""

from collections.abc import Mapping
from pathlib import Path

from chorus_jax import checkpoints
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.ltx.model import LTXModel
from chorus_jax.families.ltx.outlines import CARDS
from chorus_jax.families.ltx.sizes import FPS, LTXSizes
from chorus_jax.families.ltx.variants import PUBLISHED, defaults_of
from chorus_jax.families.ltx_shared.base_family import SharedLTXFamily, with_file
from chorus_jax.families.protocols import Defaults


class LTXFamily(SharedLTXFamily):
    """LTX-Video 0.9.x text-to-video (see `protocols.Family`)."""

    name = "ltx"
    fps = FPS
    published: Mapping[str, Defaults] = PUBLISHED
    model = LTXModel
    cards = CARDS

    def defaults(self, folder: Path, transformer: str = TRANSFORMER) -> Defaults:
        """The settings of a folder's model, as published if it is recognised."""
        card = checkpoints.Card.read(folder)
        version = card.settings.get("version")
        sizes = LTXSizes.read(folder, transformer)
        defaults = defaults_of(sizes, version, card.settings.get("distilled"))
        return with_file(defaults, card.scheduler)
