"""Source folders of LTX-Video in diffusers' layout."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from chorus_jax.families.ltx.config import LTXConfig
from convert.opening import PartsApart
from convert.source import (
    PARTS,
    Source,
    listing,
    open_component,
    read_json,
)
from convert.tokenizer_files import open_tokenizer

INDEX = "model_index.json"
# The pipeline of a folder is all that tells the versions' positions apart.
PIPELINES = {"LTXPipeline": False, "LTXConditionPipeline": True}
POSITIONS = "causal_temporal_positioning"  # its name in the makers' own files

# The scheduler of diffusers' folder of 0.9.0 and 0.9.1.
SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "use_dynamic_shifting": True,
    "base_shift": 0.95,
    "max_shift": 2.05,
    "base_image_seq_len": 1024,
    "max_image_seq_len": 4096,
    "shift_terminal": 0.1,
}


def pipeline(config: LTXConfig) -> str:
    """diffusers' pipeline for a transformer with these positions."""
    return next(
        x for x, causal in PIPELINES.items() if causal == config.causal_positions
    )


def is_ltx(source: Path) -> bool:
    """Whether a source says that it is an LTX-Video."""
    file = source / INDEX
    if not file.is_file():
        return False
    return str(read_json(file).get("_class_name")).startswith("LTX")


def open_ltx(folder: Path, given: PartsApart = PartsApart()) -> Source:
    """Reads the headers of a folder in diffusers' layout.

    Folders of 0.9.5 and later name LTXConditionPipeline: their models were trained with
    other positions in time, which the transformer's config then says.

    Raises:
        ValueError: if it is no LTX-Video (saying what was looked for), if a file is
            damaged, or if parts are given apart, which are read for Wan only.
    """
    if given != PartsApart():
        raise ValueError(
            f"{folder} is an LTX-Video: its parts, variants and state dicts cannot be "
            "given apart; give the folder alone"
        )
    file = folder / INDEX
    if not file.is_file():
        raise ValueError(
            f"{folder} is no LTX-Video: looked for {INDEX} (diffusers' layout), found "
            f"{listing(folder)}"
        )
    index = read_json(file)
    name = index.get("_class_name")
    if name not in PIPELINES:
        raise ValueError(
            f"{folder} is no LTX-Video: its {INDEX} describes a {name}, expected one "
            f"of {', '.join(PIPELINES)}"
        )
    check_parts(folder, index)
    parts = {name: open_component(folder / name) for name in PARTS}
    model = parts["transformer"]
    config = {POSITIONS: PIPELINES[name], **model.config}
    parts["transformer"] = replace(model, config=config)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    return Source(
        folder,
        parts,
        open_tokenizer(folder / "tokenizer"),
        read_json(scheduler) if scheduler.is_file() else None,
        others=[scheduler] if scheduler.is_file() else [],
        family="ltx",
    )


def check_parts(folder: Path, index: Mapping[str, Any]) -> None:
    """ValueError if a model_index.json lists parts that LTX-Video has not."""
    known = {*PARTS, "tokenizer", "scheduler"}
    others = [
        name
        for name, value in index.items()
        if isinstance(value, list) and value[:1] != [None] and name not in known
    ]
    if others:
        raise ValueError(
            f"{folder} has parts that are not known: {', '.join(others)}; supported "
            "are the models of LTX-Video 0.9.0 to 0.9.8"
        )
