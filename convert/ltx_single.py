"""LTX-Video in single safetensors files, as its makers publish it.

One file holds transformer and VAE under prefixes, and in its header's metadata the
configs of both and of the scheduler as JSON. Text encoder and tokenizer lie elsewhere.
A file without metadata (GGUF, repacked ones) is told by its tensors.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from convert import ltx_inferred, ltx_upsampler
from convert.forms import open_part
from convert.opening import PartsApart
from convert.source import ORIGINAL, PARTS, Component, Source, open_component, read_json
from convert.tensors import SourceTensor
from convert.tokenizer_files import TokenizerSource, open_tokenizer, tokenizer_in
from convert.weight_files import check_present, read_weights

Tensors = Mapping[str, SourceTensor]

PREFIXES = {
    "transformer": ("model.diffusion_model.", "diffusion_model.", "transformer.", ""),
    "vae": ("vae.", ""),
}
# A name that each part has in every version.
MARKERS = {
    "transformer": "patchify_proj.weight",
    "vae": "encoder.down_blocks.0.res_blocks.0.conv1.conv.weight",
}
UPSAMPLER = "latent_upsampler"
STATISTICS = "per_channel_statistics."
HEADER_LIMIT = 100_000_000  # bytes, as in `tensors`
READ = ("mean-of-means", "std-of-means")  # of the statistics; others are not used


@dataclass(frozen=True)
class SingleFile:
    """The parts of one file.

    Attributes:
        parts: those that it has, without their prefixes.
        config: the JSON in its metadata; {} without one.
    """

    parts: Mapping[str, Component]
    config: Mapping[str, Any]


def metadata(file: Path) -> dict[str, str]:
    """The metadata in a safetensors file's header; {} if there is none."""
    if file.suffix.lower() not in (".safetensors", ".sft"):
        return {}
    with open(file, "rb") as stream:
        length = min(int.from_bytes(stream.read(8), "little"), HEADER_LIMIT)
        header = json.loads(stream.read(length))
    return header.get("__metadata__") or {}


def metadata_config(file: Path) -> dict[str, Any]:
    """The `config` in a safetensors file's metadata; {} if there is none.

    Raises ValueError if it is no JSON object.
    """
    text = metadata(file).get("config")
    if text is None:
        return {}
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{file}: its metadata is damaged: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{file}: its metadata has a config that is no object")
    return config


def is_single(tensors: Tensors) -> bool:
    """Whether tensors are of an LTX-Video transformer; LTX-2 has sound too."""
    names = list(tensors)
    sound = any("audio" in name for name in names)
    return not sound and _prefix("transformer", names) is not None


def read_single(file: Path) -> SingleFile:
    """The parts of an LTX-Video file, headers only.

    Raises ValueError if it has none, or is damaged.
    """
    check_present(file)
    tensors, parts = read_weights([file]), {}
    config = metadata_config(file)
    for part in MARKERS:
        own = _of_part(part, tensors)
        if own:
            told = config.get(part) or ltx_inferred.config(part, own, file)
            parts[part] = Component(own, told, [file], ORIGINAL)
    if not parts:
        some = ", ".join(list(tensors)[:3]) or "no tensors"
        raise ValueError(f"{file} is no LTX-Video: it has {some}")
    return SingleFile(parts, config)


def _prefix(part: str, names: list[str]) -> str | None:
    marker, present = MARKERS[part], set(names)
    return next((x for x in PREFIXES[part] if x + marker in present), None)


def _of_part(part: str, tensors: Tensors) -> dict[str, SourceTensor]:
    prefix = _prefix(part, list(tensors))
    if prefix is None:
        return {}
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
    return {
        name: tensor
        for name, tensor in own.items()
        if not name.startswith(STATISTICS) or name.removeprefix(STATISTICS) in READ
    }


def open_single(file: Path, given: PartsApart) -> tuple[Source, Mapping[str, Any]]:
    """Reads the headers of a single file and of what is given beside it.

    Returns:
        The source, without settings and without the scheduler of its metadata, and the
        config in its metadata.

    Raises:
        ValueError: for parts that are missing, naming the options that give them.
    """
    single = read_single(file.absolute())
    parts = dict(single.parts)
    for name, path in given.parts.items():
        parts[name] = _part(name, path.absolute(), given)
    tokenizer = _tokenizer(given)
    missing = [name for name in PARTS if name not in parts]
    if missing or tokenizer is None:
        names = [*missing, *["tokenizer"] * (tokenizer is None)]
        options = " ".join(f"--{name.replace('_', '-')} PATH" for name in names)
        raise ValueError(
            f"{file} holds {' and '.join(single.parts)} of an LTX-Video: give the "
            f"others too, {options}"
        )
    scheduler = None if given.scheduler is None else read_json(given.scheduler)
    others = [] if given.scheduler is None else [given.scheduler.absolute()]
    source = Source(Path("/"), parts, tokenizer, scheduler, others=others, family="ltx")
    return source, single.config


def _part(name: str, path: Path, given: PartsApart) -> Component:
    if path.is_dir():
        return open_component(path, given.variant)
    if name == UPSAMPLER:
        return read_upsampler(path)
    if name not in MARKERS:
        return open_part(name, path, given.state)
    parts = read_single(path).parts
    if name not in parts:
        raise ValueError(f"{path} holds no {name} of an LTX-Video, but {list(parts)}")
    return parts[name]


def read_upsampler(path: Path) -> Component:
    """A latent upsampler from its makers' file or a folder of diffusers' layout.

    Raises ValueError if its file says no sizes.
    """
    if path.is_dir():
        made = open_component(path)
        return replace(made, tensors=_learnt(made.tensors))
    check_present(path)
    config = metadata_config(path)
    if not config:
        raise ValueError(
            f"{path} has no config in its metadata, which a latent upsampler's file "
            "has: give the one that its makers publish"
        )
    return Component(_learnt(read_weights([path])), config, [path], ORIGINAL)


def _learnt(tensors: Tensors) -> Tensors:
    """The tensors of an upsampler without those that are the same in all."""
    return {name: x for name, x in tensors.items() if name not in ltx_upsampler.UNUSED}


def _tokenizer(given: PartsApart) -> TokenizerSource | None:
    """The tokenizer given, or the one in the text encoder's file."""
    if given.tokenizer is not None:
        return open_tokenizer(given.tokenizer.absolute())
    text = given.parts.get("text_encoder")
    if text is None or not text.is_file():
        return None
    return tokenizer_in(read_weights([text.absolute()], given.state))
