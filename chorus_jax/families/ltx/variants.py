"""Published LTX-Video models: what identifies them, and their default settings.

The settings are those of Lightricks/LTX-Video (configs/*.yaml, ltx_video/inference.py)
as far as this library runs them.
"""

from collections.abc import Mapping
from typing import Any

from chorus_jax.families.ltx.schedule import LinearQuadratic
from chorus_jax.families.ltx.sizes import FPS, LTXSizes
from chorus_jax.families.ltx.versions import SIZES, VERSIONS
from chorus_jax.families.protocols import Defaults
from chorus_jax.guidance_schedule import GuidanceSchedule
from chorus_jax.request import Request
from chorus_jax.spatio_temporal import SpatioTemporalGuidance

NEGATIVE_PROMPT = "worst quality, inconsistent motion, blurry, jittery, distorted"
DISTILLED = (1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725)
# Of the 13B versions that are not distilled. Their configs write 1 for no rescaling.
FIRST_PASS = GuidanceSchedule(
    levels=(1.0, 0.996, 0.9933, 0.985, 0.9767, 0.9008, 0.618),
    scales=(1.0, 1.0, 6.0, 8.0, 6.0, 1.0, 1.0),
    perturbed_scales=(0.0, 0.0, 4.0, 4.0, 4.0, 2.0, 1.0),
    rescales=(0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 0.0),
    layers=((), (11, 25, 35, 39), (22, 35, 39), (28,), (28,), (28,), (28,)),
    star=True,
)


def usual(source: str, **fields: Any) -> Defaults:
    """The makers' settings of most versions; `fields` replace some of them."""
    settings: dict[str, Any] = {
        "negative_prompt": NEGATIVE_PROMPT,
        "frames": 121,
        "height": 704,
        "width": 1216,
        "steps": 40,
        "solver": "euler",
        "shift": 1.0,
        "guidance_scale": 3.0,
        "fps": float(FPS),
    }
    return Defaults(Request("", **(settings | fields)), FPS, source)


def published(size: str, version: str) -> Defaults:
    """The settings of a published model."""
    source = f"published for LTX-Video {size} {version} (Lightricks/LTX-Video, configs)"
    if not version.endswith("distilled") and size == "13B":
        levels = LinearQuadratic().sigmas(30, 0)[:27].tolist()
        return usual(source, steps=tuple(levels), guidance_schedule=FIRST_PASS)
    if not version.endswith("distilled"):
        perturbed = SpatioTemporalGuidance((19,), 1.0, 0.7)
        return usual(source, perturbed=perturbed)
    if version.startswith("0.9.6"):
        return usual(source, steps=8, guidance_scale=1.0, solver="renoise")
    return usual(source, steps=DISTILLED, guidance_scale=1.0)


PUBLISHED: Mapping[str, Defaults] = {
    f"LTX-Video {size} {version}": published(size, version)
    for size, versions in VERSIONS.items()
    for version in versions
}


def name_of(sizes: LTXSizes, version: str | None) -> str | None:
    """The name of the published model with these sizes; None if it is not recognised.

    Args:
        sizes: the sizes of the model's parts.
        version: the version that its source names; None if it names none, when only
            0.9.0 and 0.9.1 can be told, by their sizes.
    """
    model, vae = sizes.transformer, sizes.vae
    size = SIZES.get((model.heads, model.head_width, model.depth))
    if version is None and not model.causal_positions:
        version = "0.9.1" if vae.timestep else "0.9.0"
    name = f"LTX-Video {size} {version}"
    return name if name in PUBLISHED else None


def defaults_of(
    sizes: LTXSizes, version: str | None, distilled: bool | None = None
) -> Defaults:
    """The default settings of a model (see `name_of`).

    Args:
        sizes: the sizes of the model's parts.
        version: the version that its source names; None if it names none.
        distilled: whether its source lists the timesteps to run, as distilled models
            do; used if there is no version. None if unknown. Of the 2B models only
            those from 0.9.8 on list them.
    """
    name = name_of(sizes, version)
    if name is not None:
        return PUBLISHED[name]
    model = sizes.transformer
    size = SIZES.get((model.heads, model.head_width, model.depth))
    if size is not None and distilled:
        return published(size, "distilled")
    if size == "13B" and distilled is False:
        return published(size, "dev")
    return usual("LTX-Video's usual ones: this model is not recognised")
