"""Source folders of Wan: which of the two published layouts, and what is in it."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convert.pickled import read_pickle
from convert.tensors import Tensor, by_name, read_safetensors

DIFFUSERS, ORIGINAL = "diffusers", "original"
PARTS = ("transformer", "vae", "text_encoder")
OPTIONAL = ("transformer_2", "image_encoder")  # parts that only some models have
# What a model_index.json says of the model as a whole.
SETTINGS = ("boundary_ratio", "expand_timesteps")
ORIGINAL_VAE = "Wan2.1_VAE.pth"
ORIGINAL_TEXT = "models_t5_umt5-xxl-enc-bf16.pth"
ORIGINAL_TOKENIZER = "google/umt5-xxl"
VOCABULARIES = ("tokenizer.json", "spiece.model", "tokenizer.model")


@dataclass(frozen=True)
class Component:
    """One model in the source: its tensors by name and its config.json, {} if none."""

    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    files: Sequence[Path]


@dataclass(frozen=True)
class Source:
    """A folder of weights in one of the layouts.

    `settings` are those of the whole model that belong to no part (see `Card`),
    `family` is the name of its family in the registry.
    """

    folder: Path
    layout: str
    components: Mapping[str, Component]
    tokenizer: Path
    scheduler: Mapping[str, Any] | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    family: str = "wan"

    def files(self) -> list[Path]:
        """All files that are read, the tokenizer's too."""
        found = [file for part in self.components.values() for file in part.files]
        found += [path for path in self.tokenizer.rglob("*") if path.is_file()]
        scheduler = self.folder / "scheduler" / "scheduler_config.json"
        return sorted(found + [scheduler] * scheduler.is_file())


def open_source(folder: Path) -> Source:
    """Reads the headers of a folder in either layout.

    Raises ValueError if it is no Wan (saying what was looked for) or a file is damaged.
    """
    if (folder / "model_index.json").is_file():
        return _diffusers(folder)
    if (folder / ORIGINAL_VAE).is_file() or (folder / ORIGINAL_TEXT).is_file():
        return _original(folder)
    raise ValueError(
        f"{folder} is no Wan: looked for model_index.json (diffusers' layout) and for "
        f"{ORIGINAL_VAE} or {ORIGINAL_TEXT} (the original release), found "
        f"{listing(folder)}"
    )


def sha256(file: Path, progress: Callable[[int], object]) -> str:
    """The digest of a file; `progress` is told the bytes as they pass."""
    digest = hashlib.sha256()
    with open(file, "rb", buffering=0) as stream:
        while block := stream.read(2**22):
            digest.update(block)
            progress(len(block))
    return digest.hexdigest()


def listing(folder: Path) -> str:
    """What a folder holds, for a message."""
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:8]) or "an empty folder"


def _diffusers(folder: Path) -> Source:
    index = read_json(folder / "model_index.json")
    name = index.get("_class_name")
    if not str(name).startswith("Wan"):
        raise ValueError(
            f"{folder} is no Wan: its model_index.json describes a {name}, expected a "
            "WanPipeline"
        )
    present = [
        name
        for name, value in index.items()
        if isinstance(value, list) and value[:1] != [None]
    ]
    known = {*PARTS, *OPTIONAL, "tokenizer", "scheduler", "image_processor"}
    others = [name for name in present if name not in known]
    if others:
        raise ValueError(
            f"{folder} has parts that are not known: {', '.join(others)}; supported "
            "are the text-to-video and image-to-video models of Wan 2.1 and 2.2"
        )
    names = [*PARTS, *(name for name in OPTIONAL if name in present)]
    settings = {name: index[name] for name in SETTINGS if index.get(name)}
    if ("transformer_2" in names) != ("boundary_ratio" in settings):
        raise ValueError(
            f"{folder} must have both transformer_2 and a boundary_ratio in its "
            "model_index.json, which says where the two transformers change, or "
            f"neither; found {', '.join(names)} and {settings}"
        )
    scheduler = folder / "scheduler" / "scheduler_config.json"
    return Source(
        folder,
        DIFFUSERS,
        {name: open_component(need(folder / name)) for name in names},
        tokenizer_folder(folder / "tokenizer"),
        read_json(scheduler) if scheduler.is_file() else None,
        settings,
    )


def _original(folder: Path) -> Source:
    vae, text = need(folder / ORIGINAL_VAE), need(folder / ORIGINAL_TEXT)
    parts = {
        "transformer": open_component(folder),
        "vae": Component(by_name(read_pickle(vae)), {}, [vae]),
        "text_encoder": Component(by_name(read_pickle(text)), {}, [text]),
    }
    tokenizer = tokenizer_folder(folder / ORIGINAL_TOKENIZER)
    return Source(folder, ORIGINAL, parts, tokenizer, None)


def open_component(folder: Path) -> Component:
    """The tensors and the config of one folder in diffusers' layout."""
    config = need(folder / "config.json")
    files = list(_shards(folder))
    tensors = [tensor for file in files for tensor in read_safetensors(file)]
    return Component(by_name(tensors), read_json(config), [config, *files])


def _shards(folder: Path) -> Iterator[Path]:
    """The files that hold a model's tensors: those of its index, or the single one."""
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if len(indices) == 1:
        places = read_json(indices[0]).get("weight_map")
        names = places.values() if isinstance(places, dict) else [None]
        if not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"{indices[0]} is damaged: its weight_map must give a file for each "
                "tensor; download it again"
            )
        yield from (need(folder / name) for name in sorted(set(names)))
        return
    files = sorted(folder.glob("*.safetensors"))
    if len(files) != 1 or indices:
        raise ValueError(
            f"{folder} must hold one .safetensors file, or several with one "
            f".safetensors.index.json; found {listing(folder)}"
        )
    yield files[0]


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file. ValueError if it is not one."""
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}; download it again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds no JSON object; download it again")
    return content


def tokenizer_folder(folder: Path) -> Path:
    """A folder with a tokenizer. ValueError if it holds none."""
    if not any((need(folder) / name).is_file() for name in VOCABULARIES):
        raise ValueError(
            f"{folder} holds no tokenizer: looked for {', '.join(VOCABULARIES)}, found "
            f"{listing(folder)}; download it again"
        )
    return folder


def need(path: Path) -> Path:
    """A path that must exist. ValueError if it does not."""
    if not path.exists():
        raise ValueError(f"{path} is missing: the source is incomplete; download it")
    return path
