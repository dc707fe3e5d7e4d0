"""Published LTX-2 models: what identifies them, and their default settings.

The settings are those of Lightricks/LTX-2 (packages/ltx-pipelines,
ltx_pipelines/utils/constants.py). The weights are under the LTX-2 Community License,
which is not Apache's: read it before they are used or passed on.
"""

from collections.abc import Mapping
from typing import Any

from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.schedule import DISTILLED
from chorus_jax.families.ltx2.sizes import FPS, LTX2Sizes
from chorus_jax.families.protocols import Defaults
from chorus_jax.request import Request
from chorus_jax.spatio_temporal import SpatioTemporalGuidance

PERTURBED = 29  # the layer that the perturbed pass of 19B leaves out


def usual(source: str, **fields: Any) -> Defaults:
    """The makers' settings of the first stage, with those that differ."""
    settings: dict[str, Any] = {
        "frames": 121,
        "height": 512,
        "width": 768,
        "steps": 40,
        "solver": "euler",
        "shift": 1.0,
        "guidance_scale": 3.0,
    }
    return Defaults(Request("", **(settings | fields)), FPS, source)


def published(version: str) -> Defaults:
    """The settings of a published model."""
    source = f"published for LTX-2 19B {version} (Lightricks/LTX-2, constants.py)"
    if version == "distilled":
        return usual(source, steps=DISTILLED, guidance_scale=1.0)
    return usual(
        source,
        perturbed=SpatioTemporalGuidance((PERTURBED,), 1.0),
        joint=AudioVideoGuidance(audio_scale=7.0, joint=3.0, rescale=0.7),
    )


PUBLISHED: Mapping[str, Defaults] = {
    f"LTX-2 19B {version}": published(version) for version in ("dev", "distilled")
}


def defaults_of(sizes: LTX2Sizes, scheduler: Mapping[str, Any] | None) -> Defaults:
    """The default settings of a model.

    Args:
        sizes: of its parts.
        scheduler: its scheduler_config.json, None if it came without one: that of the
            distilled model shifts no levels.
    """
    model, published = sizes.transformer, LTX2Config.b19()
    names = ("heads", "head_width", "depth", "text_modulated")
    if any(getattr(model, name) != getattr(published, name) for name in names):
        return usual("LTX-2's usual ones: this model is not recognised")
    distilled = scheduler is not None and not scheduler.get("use_dynamic_shifting")
    return PUBLISHED[f"LTX-2 19B {'distilled' if distilled else 'dev'}"]
