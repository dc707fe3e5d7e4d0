"""The families that the command line converts, and how their sources are recognised."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convert import ltx2_source, ltx_source
from convert.family import WAN, Kind
from convert.ltx2_family import LTX2
from convert.ltx_family import LTX
from convert.opening import open_source
from convert.parts_apart import PartsApart
from convert.source import Source


@dataclass(frozen=True)
class Convertible:
    """A family of models that can be converted.

    Attributes:
        kinds: the kind of each part.
        open: reads the headers of a source and of parts given separately.
        recognises: a quick check whether a source is of this family.
        title: the public name of the family.
        pipeline: the name of diffusers' pipeline class, from the transformer's config.
        scheduler: diffusers' scheduler_config.json for weights that came without one.
    """

    kinds: Mapping[str, Kind]
    open: Callable[[Path, PartsApart], Source]
    recognises: Callable[[Path], bool]
    title: str
    pipeline: Callable[[Any], str]
    scheduler: Mapping[str, Any]


def wan_pipeline(config: Any) -> str:
    """The name of diffusers' pipeline class for a Wan transformer.

    Only image-to-video transformers have more input channels than output channels.
    """
    conditioned = config.in_channels != config.out_channels
    return "WanImageToVideoPipeline" if conditioned else "WanPipeline"


# The scheduler of the published Wan 2.1 pipelines; `flow_shift` is the one that
# diffusers' converter writes for most models, whatever their authors run them with.
WAN_SCHEDULER = {
    "_class_name": "UniPCMultistepScheduler",
    "num_train_timesteps": 1000,
    "solver_order": 2,
    "solver_type": "bh2",
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "flow_shift": 3.0,
}

# The last one accepts every source; its opener reports an unknown one.
FAMILIES: Mapping[str, Convertible] = {
    "ltx2": Convertible(
        LTX2,
        ltx2_source.open_ltx2,
        ltx2_source.is_ltx2,
        "LTX-2",
        lambda _: ltx2_source.PIPELINE,
        ltx2_source.SCHEDULER,
    ),
    "ltx": Convertible(
        LTX,
        ltx_source.open_ltx,
        ltx_source.is_ltx,
        "LTX-Video",
        ltx_source.pipeline,
        ltx_source.SCHEDULER,
    ),
    "wan": Convertible(
        WAN, open_source, lambda _: True, "Wan", wan_pipeline, WAN_SCHEDULER
    ),
}


def family_of(source: Path) -> Convertible:
    """The first family that recognises a source; Wan if no other does."""
    return next(family for family in FAMILIES.values() if family.recognises(source))
