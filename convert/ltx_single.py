"""Reads LTX-Video from the single safetensors files of its original release.

A file holds transformer and VAE, each with a prefix. The metadata of its header
contains the configs of both and of the scheduler as JSON. Text encoder and tokenizer
are in other files. For files without metadata (GGUF, repacked files) the configs are
inferred from the tensors.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chorus_jax import json_file
from convert import ltx_inferred, ltx_upsampler
from convert.forms import open_part
from convert.hub import resolved
from convert.parts_apart import PartsApart
from convert.source import ORIGINAL, PARTS, Component, Source, open_component, read_json
from convert.tensors import SourceTensor, metadata
from convert.tokenizer_files import TokenizerSource, open_tokenizer, tokenizer_in
from convert.weight_files import check_present, read_weights

Tensors = Mapping[str, SourceTensor]

PREFIXES = {
    "transformer": ("model.diffusion_model.", "diffusion_model.", "transformer.", ""),
    "vae": ("vae.", ""),
}
# For each part, the name of a tensor that every version has.
MARKERS = {
    "transformer": "patchify_proj.weight",
    "vae": "encoder.down_blocks.0.res_blocks.0.conv1.conv.weight",
}
UPSAMPLER = "latent_upsampler"
STATISTICS = "per_channel_statistics."
READ = ("mean-of-means", "std-of-means")  # the only statistics that are used


@dataclass(frozen=True)
class SingleFile:
    """The content of a single file.

    Attributes:
        parts: the parts in the file, with tensor names without prefixes.
        config: the `config` in its metadata; {} if there is none.
    """

    parts: Mapping[str, Component]
    config: Mapping[str, Any]


def metadata_config(file: Path) -> dict[str, Any]:
    """The `config` in a safetensors file's metadata; {} if there is none.

    Raises:
        ValueError: if it is no JSON object.
    """
    text = metadata(file).get("config")
    if text is None:
        return {}
    try:
        config = json_file.parsed(text)
    except ValueError as error:
        raise ValueError(f"{file}: its metadata is damaged: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{file}: its metadata has a config that is no object")
    return config


def part_config(file: Path, config: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The config of one part, from the config of a single file; {} if there is none.

    Raises:
        ValueError: if it is no JSON object.
    """
    own = config.get(part) or {}
    if not isinstance(own, dict):
        raise ValueError(f"{file}: the config of the {part} in its metadata is {own!r}")
    return own


def is_single(tensors: Tensors) -> bool:
    """Whether these tensors include an LTX-Video transformer, and no audio (LTX-2)."""
    names = list(tensors)
    sound = any("audio" in name for name in names)
    return not sound and _prefix("transformer", names) is not None


def read_single(file: Path, state: str | None = None) -> SingleFile:
    """Opens the parts of an LTX-Video file; reads headers only.

    Args:
        file: the file.
        state: the name of a state dict, for a torch file with several.

    Raises:
        ValueError: if the file has no such parts, or is damaged.
    """
    check_present(file)
    tensors, parts = read_weights([file], state), {}
    config = metadata_config(file)
    for part in MARKERS:
        own = _of_part(part, tensors)
        if own:
            settings = part_config(file, config, part)
            settings = settings or ltx_inferred.config(part, own, file)
            parts[part] = Component(own, settings, [file], ORIGINAL)
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
    """Opens a single file and the parts given separately; reads headers only.

    Args:
        file: the single file.
        given: parts, tokenizer and scheduler in other files.

    Returns:
        The source, and the config in the metadata of the transformer's file. The source
        has no settings, and no scheduler unless one is given.

    Raises:
        ValueError: for missing parts, naming the options for them, and for options that
            apply to no file.
    """
    check_known(given, (*PARTS, UPSAMPLER), "LTX-Video")
    given.check_choices(file)
    own = None if "transformer" in given.parts else given.state
    single = read_single(file.absolute(), own)
    parts = dict(single.parts)
    for name, path in given.parts.items():
        parts[name] = _part(name, path.absolute(), given)
    missing = [name for name in PARTS if name not in parts]
    held = f"{file} holds {' and '.join(single.parts)} of an LTX-Video"
    source = completed(held, parts, missing, _tokenizer(given), given)
    apart, config = given.parts.get("transformer"), single.config
    if apart is not None:
        config = {} if apart.is_dir() else metadata_config(apart)
    return replace(source, family="ltx"), config


def check_known(given: PartsApart, known: Collection[str], family: str) -> None:
    """Raises a ValueError for a part given separately that the family does not have."""
    for name in given.parts:
        if name not in known:
            raise ValueError(
                f"{family} has no {name}: leave --{name.replace('_', '-')} out"
            )


def completed(
    held: str,
    parts: Mapping[str, Component],
    missing: Sequence[str],
    tokenizer: TokenizerSource | None,
    given: PartsApart,
    hint: str = "",
) -> Source:
    """The source made of a single file's parts and of the parts given separately.

    Args:
        held: a description of the file, for the message.
        parts: the parts in the file and the parts given separately.
        missing: the needed parts that are not among them.
        tokenizer: the tokenizer, None if there is none.
        given: the files given separately, of which the scheduler is read here.
        hint: the end of the message.

    Raises:
        ValueError: for missing parts, naming the options for them.
    """
    if missing or tokenizer is None:
        names = [*missing, *["tokenizer"] * (tokenizer is None)]
        options = " ".join(f"--{name.replace('_', '-')} PATH" for name in names)
        raise ValueError(f"{held}: give the others too, {options}{hint}")
    scheduler = None if given.scheduler is None else read_json(given.scheduler)
    others = [] if given.scheduler is None else [given.scheduler.absolute()]
    return Source(Path("/"), parts, tokenizer, scheduler, others=others)


def _part(name: str, path: Path, given: PartsApart) -> Component:
    if path.is_dir():
        return open_component(resolved(path), given.variant)
    if name == UPSAMPLER:
        return read_upsampler(path)
    if name not in MARKERS:
        return open_part(name, path)
    parts = read_single(path, given.state_of(name)).parts
    if name not in parts:
        raise ValueError(f"{path} holds no {name} of an LTX-Video, but {list(parts)}")
    return parts[name]


def read_upsampler(path: Path) -> Component:
    """Opens a latent upsampler: an original file or a folder in diffusers' layout.

    Raises:
        ValueError: if the file has no config in its metadata.
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
    """An upsampler's tensors, except constants, which are equal in all upsamplers."""
    return {name: x for name, x in tensors.items() if name not in ltx_upsampler.UNUSED}


def _tokenizer(given: PartsApart) -> TokenizerSource | None:
    """The given tokenizer, else the one in the text encoder's file, if any."""
    if given.tokenizer is not None:
        return open_tokenizer(given.tokenizer.absolute())
    text = given.parts.get("text_encoder")
    if text is None or not text.is_file():
        return None
    return tokenizer_in(read_weights([text.absolute()]))
