"""Reads LTX-2 from the single safetensors files of its original release.

A file holds all parts except the text encoder, each with a prefix. The metadata of its
header contains the configs of all parts as JSON, and the version.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from convert import gemma, ltx2_audio, ltx2_audio_configs
from convert.hub import resolved
from convert.ltx_single import (
    READ,
    STATISTICS,
    UPSAMPLER,
    check_known,
    completed,
    metadata_config,
    part_config,
    read_upsampler,
)
from convert.parts_apart import PartsApart
from convert.source import ORIGINAL, Component, Source, open_component
from convert.tensors import SourceTensor, metadata
from convert.tokenizer_files import TokenizerSource, open_tokenizer
from convert.weight_files import check_present, read_weights

Tensors = Mapping[str, SourceTensor]

TRANSFORMER = ("model.diffusion_model.", "diffusion_model.", "transformer.", "")
MARKER = "av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1.weight"
CONNECTORS = ("video_embeddings_connector.", "audio_embeddings_connector.")
PROJECTION = "text_embedding_projection."
OTHERS = ("vae", "audio_vae", "vocoder")
VERSIONS = ("2.0", "2.3")
LATEST = float(VERSIONS[-1])
NUMBER = re.compile(r"\d+(?:\.\d+)?")


def is_single(tensors: Tensors) -> bool:
    """Whether these tensors include an LTX-2 transformer."""
    return _prefix(tensors) is not None


def _prefix(tensors: Tensors) -> str | None:
    return next((x for x in TRANSFORMER if x + MARKER in tensors), None)


def model_version(file: Path) -> str | None:
    """The version in a safetensors file's metadata, or None."""
    return metadata(file).get("model_version")


def read_single(file: Path) -> dict[str, Component]:
    """Opens the parts of an LTX-2 file; reads headers only.

    Raises:
        ValueError: for a file that is no LTX-2, has no config, or is of an unsupported
            version.
    """
    check_present(file)
    tensors = read_weights([file])
    prefix = _prefix(tensors)
    if prefix is None:
        some = ", ".join(list(tensors)[:3]) or "no tensors"
        raise ValueError(f"{file} is no LTX-2: it has {some}")
    version, config = model_version(file), metadata_config(file)
    number = NUMBER.search(version or "")
    if number is not None and float(number.group()) > LATEST:
        raise ValueError(
            f"{file} is of version {version}, which is not run here: supported are "
            f"{' and '.join(VERSIONS)}"
        )
    if "transformer" not in config:
        raise ValueError(
            f"{file} has no config in its metadata, which its makers' files have: get "
            "the one that they publish"
        )
    parts = _network(tensors, prefix)
    parts |= {name: _under(tensors, f"{name}.") for name in OTHERS}
    configs = {
        name: part_config(file, config, name) for name in ("transformer", *OTHERS)
    }
    if not any(name.startswith(PROJECTION) for name in parts["connectors"]):
        raise ValueError(
            f"{file} is incomplete: it has no {PROJECTION}..., the projection of the "
            "text encoder's states"
        )
    try:
        configs["connectors"] = _connectors(configs["transformer"], parts["connectors"])
        configs["vocoder"] = _vocoder(configs["vocoder"])
    except (ArithmeticError, AttributeError, IndexError, TypeError) as error:
        raise ValueError(f"{file}: the config in its metadata: {error}") from error
    return {
        name: Component(_read(own), _unnamed(configs[name]), [file], ORIGINAL)
        for name, own in parts.items()
        if own
    }


def _unnamed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without its class name, because the tensors decide the class."""
    return {key: value for key, value in config.items() if key != "_class_name"}


def _under(tensors: Tensors, prefix: str) -> dict[str, SourceTensor]:
    """The tensors whose names have a prefix, with the prefix removed."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _network(tensors: Tensors, prefix: str) -> dict[str, dict[str, SourceTensor]]:
    """The tensors of the transformer and of the connectors.

    The connectors' tensors have the transformer's prefix, except that their projection
    may be without it.
    """
    own = _under(tensors, prefix) if prefix else dict(tensors)
    inside = {
        name: x for name, x in own.items() if name.startswith((*CONNECTORS, PROJECTION))
    }
    beside = {name: x for name, x in tensors.items() if name.startswith(PROJECTION)}
    others = tuple(f"{name}." for name in OTHERS)
    transformer = {
        name: x
        for name, x in own.items()
        if name not in inside and not (prefix == "" and name.startswith(others))
    }
    return {"transformer": transformer, "connectors": {**inside, **beside}}


def _read(tensors: Tensors) -> dict[str, SourceTensor]:
    """The tensors of a part, except unused ones."""
    return {
        name: tensor
        for name, tensor in tensors.items()
        if ltx2_audio.UNUSED not in f".{name}"
        and (not name.startswith(STATISTICS) or name.removeprefix(STATISTICS) in READ)
    }


def _connectors(config: Mapping[str, Any], tensors: Tensors) -> dict[str, Any]:
    """The transformer's config, with the sizes of the connectors' tensors added."""
    sizes = dict(config)
    registers = [tensors.get(f"{x}learnable_registers") for x in CONNECTORS]
    sizes["registers"] = [0 if x is None else x.shape[0] for x in registers]
    projections = (x for name, x in tensors.items() if name.startswith(PROJECTION))
    wide = max((x.shape[-1] for x in projections if len(x.shape) == 2), default=0)
    sizes["states"] = wide // sizes.get("caption_channels", 1)
    return sizes


def _vocoder(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config of the vocoder, with the marker field added for 2.3's."""
    band = config.get(ltx2_audio_configs.BAND)
    if band is None:
        return dict(config)
    marker = ltx2_audio.BAND_MARKER
    return {**config, marker: band.get("upsample_initial_channel", True)}


def open_single(file: Path, given: PartsApart) -> Source:
    """Opens a single file and the parts given separately; reads headers only.

    Args:
        file: the single file.
        given: parts, tokenizer and scheduler in other files.

    Returns:
        The source; its scheduler is None unless one is given.

    Raises:
        ValueError: for missing parts, naming the options for them, and for options that
            apply to no file.
    """
    check_known(given, (*parts_needed(), "text_encoder", UPSAMPLER), "LTX-2")
    given.check_choices(file)
    single = read_single(file.absolute())
    parts = dict(single)
    for name, path in given.parts.items():
        parts[name] = _part(name, path.absolute(), given)
    missing = [name for name in (*parts_needed(), "text_encoder") if name not in parts]
    held = f"{file} holds {', '.join(single)} of an LTX-2"
    hint = " (the text encoder is a folder of Gemma 3 12B)"
    source = completed(held, parts, missing, _tokenizer(given), given, hint)
    return replace(source, family="ltx2")


def parts_needed() -> tuple[str, ...]:
    """The parts that a complete single file has."""
    return ("transformer", "connectors", *OTHERS)


def _part(name: str, path: Path, given: PartsApart) -> Component:
    if name == UPSAMPLER:
        return read_upsampler(path)
    if path.is_dir():
        made = open_component(resolved(path), given.variant)
        return without(made, gemma.UNUSED) if name == "text_encoder" else made
    parts = read_single(path) if name != "text_encoder" else {}
    if name not in parts:
        held = ", ".join(parts) or "no folder of Gemma 3"
        raise ValueError(f"{path} holds no {name} of an LTX-2, but {held}")
    return parts[name]


def without(component: Component, names: tuple[str, ...]) -> Component:
    """A part without the tensors whose names contain one of these strings."""
    remaining = {
        name: tensor
        for name, tensor in component.tensors.items()
        if not any(part in f".{name}" for part in names)
    }
    return replace(component, tensors=remaining)


def _tokenizer(given: PartsApart) -> TokenizerSource | None:
    """The given tokenizer, else the one in the text encoder's folder, if any."""
    if given.tokenizer is not None:
        return open_tokenizer(given.tokenizer.absolute())
    text = given.parts.get("text_encoder")
    if text is None or not (resolved(text) / "tokenizer.json").is_file():
        return None
    return open_tokenizer(resolved(text.absolute()), among=True)
