"""Opening of LTX-Video and LTX-2: the common part of their folders and files."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from convert.hub import resolved
from convert.ltx_single import UPSAMPLER, Tensors, read_upsampler
from convert.parts_apart import PartsApart
from convert.source import Source, common_folder, read_json
from convert.weight_files import READERS, read_weights

INDEX = "model_index.json"


def recognised(
    source: Path,
    is_single: Callable[[Tensors], bool],
    is_pipeline: Callable[[str], bool],
) -> bool:
    """Whether a single file's tensors or a folder's pipeline class are recognised.

    Args:
        source: the file or folder.
        is_single: recognises the tensors of a single file.
        is_pipeline: recognises the name of diffusers' pipeline class.
    """
    if source.is_file() and source.suffix.lower() in READERS:
        try:
            return is_single(read_weights([source]))
        except ValueError:
            return False
    file = resolved(source) / INDEX
    return file.is_file() and is_pipeline(str(read_json(file).get("_class_name")))


def with_upsampler(
    path: Path, given: PartsApart, title: str, opened: Callable[[Path], Source]
) -> Source:
    """A folder in diffusers' layout, with a latent upsampler if one is given.

    Args:
        path: the folder.
        given: parts in other files; only a latent upsampler is accepted.
        title: the public name of the family, for messages.
        opened: opens the folder.

    Raises:
        ValueError: if anything else is given.
    """
    upsampler = given.parts.get(UPSAMPLER)
    alone = {UPSAMPLER: upsampler} if upsampler is not None else {}
    if given != PartsApart(alone):
        raise ValueError(
            f"{path} is a folder of a whole {title}: its parts, variants and state "
            "dicts cannot be given apart, but for a latent upsampler; give the folder "
            "alone, or a single file"
        )
    source = opened(path)
    if upsampler is None:
        return source
    parts = {**source.components, UPSAMPLER: read_upsampler(upsampler.absolute())}
    source = replace(source, components=parts)
    return replace(source, folder=common_folder(source))


def check_parts(
    folder: Path, index: Mapping[str, Any], known: Collection[str], supported: str
) -> None:
    """Raises a ValueError if a model_index.json lists unknown parts.

    Args:
        folder: the folder, for the message.
        index: the content of the model_index.json.
        known: the names of the family's parts.
        supported: what is supported, for the message.
    """
    others = [
        name
        for name, value in index.items()
        if isinstance(value, list) and value[:1] != [None] and name not in known
    ]
    if others:
        raise ValueError(
            f"{folder} has parts that are not known: {', '.join(others)}; supported "
            f"are {supported}"
        )
