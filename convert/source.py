"""Sources of weights: their parts, and folders in diffusers' layout."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chorus_jax import json_file
from convert.tensors import SourceTensor
from convert.tokenizer_files import TokenizerSource, open_tokenizer
from convert.variants import chosen
from convert.weight_files import check_present, read_weights

DIFFUSERS, ORIGINAL = "diffusers", "original"
PARTS = ("transformer", "vae", "text_encoder")
OPTIONAL = (
    "transformer_2",
    "image_encoder",
    "latent_upsampler",
)  # parts that only some models have
# Fields of a model_index.json that apply to the whole model.
SETTINGS = ("boundary_ratio", "expand_timesteps")


@dataclass(frozen=True)
class Component:
    """One part of a source, such as the VAE.

    Attributes:
        tensors: the part's tensors by name.
        config: the part's config.json; {} if it has none.
        files: the files that the part was read from.
        layout: the layout of the tensors' names: `DIFFUSERS` or `ORIGINAL`.
    """

    tensors: Mapping[str, SourceTensor]
    config: Mapping[str, Any]
    files: Sequence[Path]
    layout: str = DIFFUSERS


@dataclass(frozen=True)
class Source:
    """The published weights of a model.

    Attributes:
        folder: a folder that contains all files.
        components: the model's parts by name.
        tokenizer: the source of the tokenizer.
        scheduler: the scheduler_config.json; None if there is none.
        settings: settings of the whole model that belong to no part (see `Card`).
        others: further files that are read, such as LoRAs.
        family: the name of the model's family in the registry.
    """

    folder: Path
    components: Mapping[str, Component]
    tokenizer: TokenizerSource
    scheduler: Mapping[str, Any] | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    others: Sequence[Path] = ()
    family: str = "wan"

    def files(self) -> list[Path]:
        """All files that are read, including the tokenizer's."""
        paths = [file for part in self.components.values() for file in part.files]
        return sorted({*paths, *self.tokenizer.files(), *self.others})


def common_folder(source: Source) -> Path:
    """The deepest folder that contains all files of a source."""
    files = [str(Path(file).absolute().parent) for file in source.files()]
    return Path(os.path.commonpath(files))


def sha256(file: Path, progress: Callable[[int], object]) -> str:
    """The SHA-256 of a file; `progress` is called with the size of each block read."""
    digest = hashlib.sha256()
    with open(file, "rb", buffering=0) as stream:
        while block := stream.read(2**22):
            digest.update(block)
            progress(len(block))
    return digest.hexdigest()


def open_diffusers(folder: Path, variant: str | None = None) -> Source:
    """Opens a Wan folder in diffusers' layout; reads headers only.

    Args:
        folder: the folder.
        variant: the variant of its files, such as `fp16`.

    Raises:
        ValueError: if it is no Wan, or is incomplete or damaged.
    """
    index = read_json(folder / "model_index.json")
    name = index.get("_class_name")
    if not str(name).startswith("Wan"):
        raise ValueError(
            f"{folder} is a model of another family, which is not converted here: its "
            f"model_index.json describes a {name}, expected a WanPipeline, an "
            "LTXPipeline or an LTX2Pipeline"
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
    files = [scheduler] if scheduler.is_file() else []
    return Source(
        folder,
        {name: open_component(folder / name, variant) for name in names},
        open_tokenizer(folder / "tokenizer"),
        read_json(scheduler) if files else None,
        settings,
        files,
    )


def open_component(folder: Path, variant: str | None = None) -> Component:
    """Opens the folder of one part in diffusers' layout; reads headers only."""
    check_present(folder)
    config = folder / "config.json"
    check_present(config)
    files = shards(folder, variant)
    return Component(read_weights(files), read_json(config), [config, *files])


def shards(folder: Path, variant: str | None = None) -> list[Path]:
    """The files with a part's tensors: those that its index lists, or a single file.

    Raises:
        ValueError: if the folder has several files without an index, none, or a damaged
            index.
    """
    there = chosen(folder, variant)
    indices = [file for file in there if file.suffix == ".json"]
    if len(indices) == 1:
        places = read_json(indices[0]).get("weight_map")
        names = places.values() if isinstance(places, dict) else [None]
        if not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"{indices[0]} is damaged: its weight_map must give a file for each "
                "tensor; download it again"
            )
        outside = [name for name in map(str, names) if name != Path(name).name]
        if outside:
            raise ValueError(
                f"{indices[0]} names {outside[0]!r}, which is no file beside it: get "
                "the folder from its publisher"
            )
        return [folder / name for name in sorted(set(names))]
    if len(there) != 1:
        raise ValueError(
            f"{folder} must hold one .safetensors file, or several with one "
            f".safetensors.index.json; found {listing(folder)}"
        )
    return there


def read_json(file: Path) -> dict[str, Any]:
    """Reads a JSON file. Raises a ValueError if its content is no JSON object."""
    try:
        content = json_file.read(file)
    except ValueError as error:
        raise ValueError(f"{file} is damaged: {error}; download it again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} holds no JSON object; download it again")
    return content


def listing(folder: Path) -> str:
    """The first file names in a folder, for messages."""
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:8]) or "an empty folder"
