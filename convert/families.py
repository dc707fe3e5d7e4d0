"""The families that the command line converts, and which one a source is of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert import ltx2_source, ltx_source
from convert.family import WAN, Kind
from convert.ltx2_family import LTX2
from convert.ltx_family import LTX
from convert.opening import PartsApart, open_source
from convert.source import Source


@dataclass(frozen=True)
class Convertible:
    """A family as the command line converts it.

    Attributes:
        kinds: its parts.
        open: reads the headers of a source, and of what is given beside it.
        adapters: whether LoRAs are merged into it.
        recognises: whether a source is of this family, as far as a glance tells.
        title: the name that people know it by.
        pipeline: diffusers' class for a folder, from the transformer's config.
        scheduler: diffusers' scheduler_config.json for weights that came without one.
    """

    kinds: Mapping[str, Kind]
    open: Callable[[Path, PartsApart], Source]
    recognises: Callable[[Path], bool]
    title: str
    pipeline: Callable[[Any], str]
    scheduler: Mapping[str, Any]
    adapters: bool = False


def wan_pipeline(config: Any) -> str:
    """diffusers' pipeline: only image-to-video transformers read more channels than
    they give."""
    conditioned = config.in_channels != config.out_channels
    return "WanImageToVideoPipeline" if conditioned else "WanPipeline"


# The scheduler of the published Wan 2.1 pipelines.
WAN_SCHEDULER = {
    "_class_name": "UniPCMultistepScheduler",
    "num_train_timesteps": 1000,
    "solver_order": 2,
    "solver_type": "bh2",
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": 3.0,
}

# The last one is of what no other recognises: its opener says what was looked for.
FAMILIES: Mapping[str, Convertible] = {
    "ltx2": Convertible(
        LTX2,
        ltx2_source.open_ltx2,
        ltx2_source.is_ltx2,
        "LTX-2",
        lambda _: ltx2_source.PIPELINE,
        ltx2_source.SCHEDULER,
        adapters=True,
    ),
    "ltx": Convertible(
        LTX,
        ltx_source.open_ltx,
        ltx_source.is_ltx,
        "LTX-Video",
        ltx_source.pipeline,
        ltx_source.SCHEDULER,
        adapters=True,
    ),
    "wan": Convertible(
        WAN, open_source, lambda _: True, "Wan", wan_pipeline, WAN_SCHEDULER, True
    ),
}


def family_of(source: Path) -> Convertible:
    """The family that a source is of."""
    return next(family for family in FAMILIES.values() if family.recognises(source))
