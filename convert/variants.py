"""Selects the files of one variant, such as `fp16`, in a folder with several."""

import re
from collections.abc import Sequence
from pathlib import Path

_NAME = re.compile(
    r"(?P<stem>.+?)"
    r"(?P<shard>-\d{5}-of-\d{5})?"
    r"(\.(?P<variant>[A-Za-z]\w*?))?"
    r"(-\d{5}-of-\d{5})?"
    r"\.safetensors(?P<index>\.index(\.(?P<old>\w+))?\.json)?"
)


def variant_of(file: Path) -> str:
    """The variant in a file's name, such as `fp16`; "" for none.

    Examples: `model.fp16.safetensors`, `model.fp16-00001-of-00002.safetensors`,
    `model-00001-of-00002.fp16.safetensors`, `model.safetensors.index.fp16.json`.
    """
    match = _NAME.fullmatch(file.name)
    if match is None:
        return ""
    return match["variant"] or match["old"] or ""


def chosen(folder: Path, variant: str | None) -> list[Path]:
    """The files of one variant in a folder, with its index if there is one.

    Args:
        folder: the folder of one part.
        variant: the wanted variant; None for the files without a variant, or else the
            only variant. If the folder has only files without a variant, they are used
            in any case.

    Raises:
        ValueError: if the folder lacks the variant, or has several and none is wanted.
    """
    files = [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index*.json")]
    there = sorted({variant_of(file) for file in files})
    taken = _taken(folder, there, variant)
    return sorted(file for file in files if variant_of(file) == taken)


def _taken(folder: Path, there: Sequence[str], variant: str | None) -> str:
    names = ", ".join(name or "files without a variant" for name in there) or "none"
    if variant is None:
        if "" in there or not there:
            return ""
        if len(there) == 1:
            return there[0]
        raise ValueError(
            f"{folder} has the model in several variants ({names}): say which, with "
            f"--variant {there[0]}"
        )
    # Some parts of a pipeline may exist in one precision only.
    if variant in there:
        return variant
    if there == [""]:
        return ""
    raise ValueError(f"{folder} has no variant {variant!r}: found {names}")
