"""Opens LTX-2: folders in diffusers' layout and original single files."""

from dataclasses import replace
from pathlib import Path

from chorus_jax.families.ltx2.schedule import schedule_of
from convert import gemma, ltx2_audio
from convert.hub import resolved
from convert.ltx2_single import is_single, open_single, without
from convert.ltx_opening import INDEX, check_parts, recognised, with_upsampler
from convert.parts_apart import PartsApart
from convert.source import Source, common_folder, listing, open_component, read_json
from convert.tokenizer_files import open_tokenizer

PIPELINE = "LTX2Pipeline"
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
    return recognised(source, is_single, lambda name: name.startswith("LTX2"))


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
    return with_upsampler(path, given, "LTX-2", _folder)


def _single(path: Path, given: PartsApart) -> Source:
    """Opens a single file.

    A distilled model is recognised by its file name, since nothing in the file shows
    it.
    """
    source = open_single(path, given)
    usual = DISTILLED_SCHEDULER if "distilled" in path.name.lower() else SCHEDULER
    source = replace(source, scheduler=source.scheduler or usual)
    schedule_of(source.scheduler)  # raises for unsupported settings
    return replace(source, folder=common_folder(source))


def _folder(path: Path) -> Source:
    folder = resolved(path)
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
    supported = "LTX-2 (19B) and 2.3 (22B); LTX-2.5 is not run here"
    check_parts(folder, index, (*PARTS, *UNREAD), supported)
    parts = {name: open_component(folder / name) for name in PARTS}
    parts["text_encoder"] = without(parts["text_encoder"], gemma.UNUSED)
    parts["vocoder"] = without(parts["vocoder"], (ltx2_audio.UNUSED,))
    scheduler = folder / "scheduler" / "scheduler_config.json"
    stored = read_json(scheduler) if scheduler.is_file() else None
    schedule_of(stored)  # raises for unsupported settings
    return Source(
        folder,
        parts,
        open_tokenizer(folder / "tokenizer"),
        stored,
        others=[scheduler] if scheduler.is_file() else [],
        family="ltx2",
    )
