"""Opens LTX-Video: folders in diffusers' layout and original single files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.schedule import schedule_of
from convert.hub import resolved
from convert.ltx_opening import INDEX, check_parts, recognised, with_upsampler
from convert.ltx_single import (
    UPSAMPLER,
    is_single,
    open_single,
    part_config,
    read_upsampler,
)
from convert.ltx_versions import POSITIONS, Signs, folds_pixels, version_of
from convert.parts_apart import PartsApart
from convert.source import (
    PARTS,
    Source,
    common_folder,
    listing,
    open_component,
    read_json,
)
from convert.tokenizer_files import open_tokenizer

# The pipeline classes in a model_index.json, with whether the model has causal
# positions in time (0.9.5 and later). diffusers' converter writes LTXPipeline for 0.9.5
# too (scripts/convert_ltx_to_diffusers.py), so the VAE is looked at as well.
PIPELINES = {
    "LTXPipeline": False,
    "LTXConditionPipeline": True,
    "LTXImageToVideoPipeline": False,
}

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
# The scheduler of 0.9.5 and later, whose pipeline computes the noise levels itself.
LATER_SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "use_dynamic_shifting": False,
}


def pipeline(config: LTXConfig) -> str:
    """The name of diffusers' pipeline class for a transformer, by its positions."""
    return next(
        x for x, causal in PIPELINES.items() if causal == config.causal_positions
    )


def is_ltx(source: Path) -> bool:
    """Whether a file or folder is recognised as LTX-Video."""
    is_pipeline = lambda x: x.startswith("LTX") and not x.startswith("LTX2")
    return recognised(source, is_single, is_pipeline)


def open_ltx(path: Path, given: PartsApart = PartsApart()) -> Source:
    """Opens a folder in diffusers' layout or a single file; reads headers only.

    Args:
        path: the folder, or the single file.
        given: parts in other files. For a folder only a latent upsampler is accepted.

    Raises:
        ValueError: if it is no LTX-Video (saying what was looked for), if a file is
            damaged, or if a part is missing.
    """
    if path.is_file():
        return _single(path, given)
    return with_upsampler(path, given, "LTX-Video", _folder)


def _single(path: Path, given: PartsApart) -> Source:
    source, metadata = open_single(path, given)
    model, vae = (source.components[name] for name in ("transformer", "vae"))
    causal = model.config.get(POSITIONS, folds_pixels(vae.config))
    model = replace(model, config={**model.config, POSITIONS: causal})
    signs = Signs.of(model.config, vae.config, metadata or None)
    file = given.parts.get("transformer", path)
    scheduler = source.scheduler or _scheduler(file, metadata, causal)
    schedule_of(scheduler)  # raises for unsupported settings
    return replace(
        source,
        folder=common_folder(source),
        components={**source.components, "transformer": model},
        scheduler=scheduler,
        settings=_settings(signs, [file.name]),
    )


def _settings(signs: Signs, names: list[str]) -> dict[str, Any]:
    """The model's settings: its version, or else whether it is distilled.

    They are empty if the version is unknown and there is no metadata.
    """
    version = version_of(signs, names)
    if version is not None:
        return {"version": version}
    return {} if signs.distilled is None else {"distilled": signs.distilled}


def _scheduler(
    path: Path, metadata: Mapping[str, Any], causal: bool
) -> Mapping[str, Any]:
    """The scheduler in a file's metadata, as a diffusers config.

    Raises:
        ValueError: for an unsupported scheduler.
    """
    stored = part_config(path, metadata, "scheduler")
    if not stored:
        return LATER_SCHEDULER if causal else SCHEDULER
    sampler, shifting = stored.get("sampler") or "Uniform", stored.get("shifting")
    terminal = stored.get("target_shift_terminal")
    if (sampler, shifting) == ("Uniform", "SD3"):
        return {**SCHEDULER, "shift_terminal": terminal}
    if (sampler, shifting) == ("LinearQuadratic", None):
        return LATER_SCHEDULER
    raise ValueError(
        f"{path} has a scheduler with sampler={sampler!r} and shifting={shifting!r}; "
        "supported are Uniform with SD3, and LinearQuadratic without"
    )


def _folder(path: Path) -> Source:
    """Opens a folder in diffusers' layout.

    Models of 0.9.5 and later were trained with other temporal positions, which are set
    in the transformer's config. They are recognised by their VAE, or by the pipeline
    class LTXConditionPipeline.
    """
    folder = resolved(path)
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
    known = (*PARTS, UPSAMPLER, "tokenizer", "scheduler")
    check_parts(folder, index, known, "the models of LTX-Video 0.9.0 to 0.9.8")
    parts = {name: open_component(folder / name) for name in PARTS}
    model = parts["transformer"]
    causal = PIPELINES[name] or folds_pixels(parts["vae"].config)
    config = {POSITIONS: causal, **model.config}
    parts["transformer"] = replace(model, config=config)
    if UPSAMPLER in index:  # as `chorus export` writes it
        parts[UPSAMPLER] = read_upsampler(folder / UPSAMPLER)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    stored = read_json(scheduler) if scheduler.is_file() else None
    schedule_of(stored)  # raises for unsupported settings
    hints = [str(index.get("version", "")), path.name, *(x.name for x in path.parents)]
    return Source(
        folder,
        parts,
        open_tokenizer(folder / "tokenizer"),
        stored,
        _settings(Signs.of(config, parts["vae"].config), hints),
        others=[scheduler] if scheduler.is_file() else [],
        family="ltx",
    )
