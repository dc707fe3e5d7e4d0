"""Cuts a model to the first layers of each stack, for a trial run in little memory."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from chorus_jax.checkpoints import (
    Card,
    StreamedArray,
    abstract,
    check_space,
    describe,
    open_arrays,
    write_arrays,
)
from chorus_jax.checkpoints.card import Part, config_from
from convert.families import FAMILIES
from convert.family import Kind

LAYERS = 2  # at least 2, since CLIP returns the output of its second to last layer
STACK = "layers."
# Networks that still run with fewer layers; others keep all.
CUT = ("WanDiT", "LTXDiT", "LTX2DiT", "T5Encoder", "CLIPImageEncoder")
MAIN = "transformer"  # the kind of parts with other names, such as further transformers


def shorten(folder: Path, out: Path) -> None:
    """Writes a copy of a checkpoint folder with at most `LAYERS` layers per stack.

    Args:
        folder: the checkpoint.
        out: the folder to write; it must not exist.

    Raises:
        ValueError: if the disk has no room for it.
    """
    card = Card.read(folder)
    parts = {name: arrays_of(folder / name, part) for name, part in card.parts.items()}
    check_space(out, sum(nbytes(arrays) for arrays in parts.values()))
    out.mkdir()
    kinds = FAMILIES[card.family].kinds
    entries = {
        name: written(
            out / name, card.parts[name], kinds.get(name, kinds[MAIN]), arrays
        )
        for name, arrays in parts.items()
    }
    shutil.copytree(folder / "tokenizer", out / "tokenizer")
    replace(card, parts=entries).write(out)


def arrays_of(folder: Path, part: Part) -> dict[str, StreamedArray]:
    """The arrays of a part; stacked ones are cut to the first layers."""
    arrays = open_arrays(folder.absolute())
    if not is_cut(part):
        return arrays
    return {
        name: replace(array, shape=(LAYERS, *array.shape[1:]))
        if name.startswith(STACK)
        else array
        for name, array in arrays.items()
    }


def is_cut(part: Part) -> bool:
    """Whether a part has more layers than its shortened copy."""
    return part.model in CUT and part.config["depth"] > LAYERS


def nbytes(arrays: Mapping[str, StreamedArray]) -> int:
    """The size of arrays in bytes."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in arrays.values())


def written(
    folder: Path, part: Part, kind: Kind, arrays: Mapping[str, StreamedArray]
) -> Part:
    """Writes the arrays of a part; returns its entry in the card."""
    depth = {"depth": LAYERS} if is_cut(part) else {}
    kind = kind.stored_as(part.model)
    config: Any = config_from(kind.config, {**part.config, **depth})
    digests = write_arrays(folder.absolute(), arrays)
    return describe(abstract(kind.model, config), config, digests)
