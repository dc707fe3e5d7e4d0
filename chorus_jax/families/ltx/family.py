"""LTX-Video as the registry lists it: how its folders are loaded and described."""

from collections.abc import Mapping
from pathlib import Path

from chorus_jax import checkpoints
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.ltx.model import LTXModel
from chorus_jax.families.ltx.outlines import CARDS
from chorus_jax.families.ltx.sizes import FPS, LTXSizes
from chorus_jax.families.ltx.variants import PUBLISHED, defaults_of
from chorus_jax.families.ltx_shared.base_family import SharedLTXFamily
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
        settings = checkpoints.Card.read(folder).settings
        version, distilled = settings.get("version"), settings.get("distilled")
        return defaults_of(LTXSizes.read(folder, transformer), version, distilled)
