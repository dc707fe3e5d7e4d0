"""Source folders of LTX-Video in diffusers' layout."""

from dataclasses import replace
from pathlib import Path

from chorus_jax.families.ltx.config import LTXConfig
from convert.source import Source, diffusers_source, known_parts, listing, read_json

# The pipeline of a folder is all that tells the versions' positions apart.
PIPELINES = {"LTXPipeline": False, "LTXConditionPipeline": True}
POSITIONS = "causal_temporal_positioning"  # its name in the makers' own files


def pipeline(config: LTXConfig) -> str:
    """diffusers' pipeline for a transformer with these positions."""
    return next(
        x for x, causal in PIPELINES.items() if causal == config.causal_positions
    )


def open_ltx(folder: Path) -> Source:
    """Reads the headers of a folder in diffusers' layout.

    Folders of 0.9.5 and later name LTXConditionPipeline: their models were trained with
    other positions in time, which the transformer's config then says.

    Raises ValueError if it is no LTX-Video (saying what was looked for) or a file is
    damaged.
    """
    file = folder / "model_index.json"
    if not file.is_file():
        raise ValueError(
            f"{folder} is no LTX-Video: looked for model_index.json (diffusers' "
            f"layout), got {listing(folder)}"
        )
    index = read_json(file)
    name = index.get("_class_name")
    if name not in PIPELINES:
        raise ValueError(
            f"{folder} is no LTX-Video: its model_index.json describes a {name}, "
            f"expected one of {', '.join(PIPELINES)}"
        )
    known_parts(folder, index, "the models of LTX-Video 0.9.0 to 0.9.8")
    source = diffusers_source(folder, "ltx")
    model = source.components["transformer"]
    config = {POSITIONS: PIPELINES[name], **model.config}
    parts = {**source.components, "transformer": replace(model, config=config)}
    return replace(source, components=parts)
