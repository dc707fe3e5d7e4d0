"""Opens LTX-2: folders in diffusers' layout and original single files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from convert import gemma, ltx2_audio
from convert.ltx2_single import is_single, open_single, without
from convert.ltx_single import UPSAMPLER, read_upsampler
from convert.opening import PartsApart
from convert.source import Source, common_folder, listing, open_component, read_json
from convert.tokenizer_files import open_tokenizer
from convert.weight_files import READERS, read_weights

INDEX, PIPELINE = "model_index.json", "LTX2Pipeline"
PARTS = ("transformer", "vae", "text_encoder", "connectors", "audio_vae", "vocoder")
# Entries of a model_index.json that are no model parts for us. The processor is for
# rewriting prompts, which is not done here.
UNREAD = {"tokenizer", "scheduler", "processor"}

# The scheduler of diffusers' folder of LTX-2.
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


# The scheduler of the distilled model, whose noise levels are fixed.
DISTILLED_SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "num_train_timesteps": 1000,
    "use_dynamic_shifting": False,
}


def is_ltx2(source: Path) -> bool:
    """Whether a file or folder is recognised as LTX-2."""
    if source.is_file() and source.suffix.lower() in READERS:
        try:
            return is_single(read_weights([source]))
        except ValueError:
            return False
    file = source / INDEX
    if not file.is_file():
        return False
    return str(read_json(file).get("_class_name")).startswith("LTX2")


def open_ltx2(path: Path, given: PartsApart = PartsApart()) -> Source:
    """Opens a folder in diffusers' layout or a single file; reads headers only.

    Args:
        path: the folder, or the single file.
        given: parts in other files. For a folder only a latent upsampler is accepted.

    Raises:
        ValueError: if it is no LTX-2 (saying what was looked for), if a file is
            damaged, or if a part is missing.
    """
    if path.is_file():
        return _single(path, given)
    upsampler = given.parts.get(UPSAMPLER)
    alone = {UPSAMPLER: upsampler} if upsampler is not None else {}
    if given != PartsApart(alone):
        raise ValueError(
            f"{path} is a folder of a whole LTX-2: its parts, variants and state dicts "
            "cannot be given apart, but for a latent upsampler; give the folder alone, "
            "or a single file"
        )
    source = _folder(path)
    if upsampler is None:
        return source
    added = {UPSAMPLER: read_upsampler(upsampler.absolute())}
    source = replace(source, components={**source.components, **added})
    return replace(source, folder=common_folder(source))


def _single(path: Path, given: PartsApart) -> Source:
    """Opens a single file.

    A distilled model is recognised by its file name, since nothing in the file tells.
    """
    source = open_single(path, given)
    usual = DISTILLED_SCHEDULER if "distilled" in path.name.lower() else SCHEDULER
    source = replace(source, scheduler=source.scheduler or usual)
    return replace(source, folder=common_folder(source))


def _folder(folder: Path) -> Source:
    file = folder / INDEX
    if not file.is_file():
        raise ValueError(
            f"{folder} is no LTX-2: looked for {INDEX} (diffusers' layout), found "
            f"{listing(folder)}"
        )
    index = read_json(file)
    name = index.get("_class_name")
    if name != PIPELINE:
        raise ValueError(
            f"{folder} is no LTX-2 that is run here: its {INDEX} describes a {name}, "
            f"expected {PIPELINE}"
        )
    check_parts(folder, index)
    parts = {name: open_component(folder / name) for name in PARTS}
    parts["text_encoder"] = without(parts["text_encoder"], gemma.UNUSED)
    parts["vocoder"] = without(parts["vocoder"], (ltx2_audio.UNUSED,))
    scheduler = folder / "scheduler" / "scheduler_config.json"
    return Source(
        folder,
        parts,
        open_tokenizer(folder / "tokenizer"),
        read_json(scheduler) if scheduler.is_file() else None,
        others=[scheduler] if scheduler.is_file() else [],
        family="ltx2",
    )


def check_parts(folder: Path, index: Mapping[str, Any]) -> None:
    """Raises ValueError if a model_index.json lists parts that LTX-2 does not have."""
    others = [
        name
        for name, value in index.items()
        if isinstance(value, list)
        and value[:1] != [None]
        and name not in {*PARTS, *UNREAD}
    ]
    if others:
        raise ValueError(
            f"{folder} has parts that are not known: {', '.join(others)}; supported "
            "are LTX-2 (19B) and 2.3 (22B); LTX-2.5 is not run here"
        )
