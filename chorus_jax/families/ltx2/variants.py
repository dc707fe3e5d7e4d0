"""Published LTX-2 models: what identifies them, and their default settings.

The settings are those of Lightricks/LTX-2 (packages/ltx-pipelines,
ltx_pipelines/utils/constants.py). The weights are under the LTX-2 Community License,
which is not the Apache licence: read it before you use or pass on the weights.
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

# By name: its sizes, the layer that the perturbed pass leaves out, its steps.
MODELS = {
    "LTX-2 19B": (LTX2Config.b19(), 29, 40),
    "LTX-2.3 22B": (LTX2Config.b22(), 28, 30),
}
# What tells them from each other and from models of other sizes.
TELLING = ("heads", "head_width", "depth", "gated", "text_modulated", "text_width")


def usual(source: str, **fields: Any) -> Defaults:
    """The makers' settings of the first stage; `fields` replace some of them."""
    settings: dict[str, Any] = {
        "frames": 121,
        "height": 512,
        "width": 768,
        "steps": 40,
        "solver": "euler",
        "shift": 1.0,
        "guidance_scale": 3.0,
        "fps": float(FPS),
    }
    return Defaults(Request("", **(settings | fields)), FPS, source)


def published(name: str, version: str) -> Defaults:
    """The settings of a published model: one of `MODELS`, `dev` or `distilled`."""
    source = f"published for {name} {version} (Lightricks/LTX-2, constants.py)"
    _, layer, steps = MODELS[name]
    if version == "distilled":
        return usual(source, steps=DISTILLED, guidance_scale=1.0)
    return usual(
        source,
        steps=steps,
        perturbed=SpatioTemporalGuidance((layer,), 1.0),
        joint=AudioVideoGuidance(audio_scale=7.0, joint=3.0, rescale=0.7),
    )


PUBLISHED: Mapping[str, Defaults] = {
    f"{name} {version}": published(name, version)
    for name in MODELS
    for version in ("dev", "distilled")
}


def defaults_of(sizes: LTX2Sizes, scheduler: Mapping[str, Any] | None) -> Defaults:
    """The default settings of a model.

    Args:
        sizes: the sizes of the model's parts.
        scheduler: the content of its scheduler_config.json, by which the distilled
            model is recognised (its noise levels are not shifted); None without one.
    """
    values = lambda config: [getattr(config, name) for name in TELLING]
    distilled = scheduler is not None and not scheduler.get("use_dynamic_shifting")
    for name, (config, *_) in MODELS.items():
        if values(config) == values(sizes.transformer):
            return PUBLISHED[f"{name} {'distilled' if distilled else 'dev'}"]
    return usual("LTX-2's usual ones: this model is not recognised")
