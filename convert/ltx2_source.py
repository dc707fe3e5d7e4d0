"""Source folders of LTX-2 in diffusers' layout."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convert import gemma, ltx2_audio
from convert.opening import PartsApart
from convert.source import Component, Source, listing, open_component, read_json
from convert.tokenizer_files import open_tokenizer

INDEX, PIPELINE = "model_index.json", "LTX2Pipeline"
PARTS = ("transformer", "vae", "text_encoder", "connectors", "audio_vae", "vocoder")
# Parts of which nothing is read: a prompt is not rewritten here.
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


def is_ltx2(source: Path) -> bool:
    """Whether a source says that it is an LTX-2."""
    file = source / INDEX
    if not file.is_file():
        return False
    return str(read_json(file).get("_class_name")).startswith("LTX2")


def open_ltx2(folder: Path, given: PartsApart = PartsApart()) -> Source:
    """Reads the headers of a folder in diffusers' layout.

    Raises:
        ValueError: if it is no LTX-2 (saying what was looked for), if a file is
            damaged, or if parts are given apart, which are read for Wan only.
    """
    if given != PartsApart():
        raise ValueError(
            f"{folder} is an LTX-2: its parts, variants and state dicts cannot be "
            "given apart; give the folder alone"
        )
    file = folder / INDEX
    if not file.is_file():
        raise ValueError(
            f"{folder} is no LTX-2: looked for {INDEX} (diffusers' layout; the makers' "
            f"single files are not read), found {listing(folder)}"
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


def without(component: Component, names: Sequence[str]) -> Component:
    """A part without the tensors that have one of these in their name."""
    kept = {
        name: tensor
        for name, tensor in component.tensors.items()
        if not any(part in f".{name}" for part in names)
    }
    return replace(component, tensors=kept)


def check_parts(folder: Path, index: Mapping[str, Any]) -> None:
    """ValueError if a model_index.json lists parts that LTX-2 has not."""
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
