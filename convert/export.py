"""Export of a checkpoint folder to diffusers' layout, tensor by tensor."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chorus_jax.checkpoints import (
    Card,
    StreamedArray,
    abstract,
    aside,
    boxes,
    check_same,
    check_space,
    config_from,
    names,
    open_arrays,
)
from convert.conversion import Order, prepare_part
from convert.families import FAMILIES
from convert.family import Kind
from convert.plan import is_stacked, raise_problems, source_shape, sources
from convert.rules import SAME, Rule, indices
from convert.safetensors_files import Outgoing, write_shards
from convert.scheduler_config import scheduler_config
from convert.source import DIFFUSERS, OPTIONAL, open_component, read_json
from convert.verify import compare

TRANSFORMER = "transformer"


@dataclass(frozen=True)
class Stored:
    """One part of a checkpoint folder: its arrays on disk and its config.

    Attributes:
        kind: the class of the part and its layouts.
        source: the folder that contains the arrays.
        config: the part's config, an instance of `kind.config`.
        arrays: the arrays by the dotted path of the parameter.
    """

    kind: Kind
    source: Path
    config: Any
    arrays: Mapping[str, StreamedArray]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = self.arrays.values()
        return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in arrays)


def open_parts(
    folder: Path, kinds: Mapping[str, Kind], transformer: str = TRANSFORMER
) -> dict[str, Stored]:
    """Opens the parts of a checkpoint folder; reads headers only.

    Args:
        folder: the checkpoint.
        kinds: the kind of each part.
        transformer: the part to export as the transformer, if there are several.

    Raises:
        ValueError: if the folder is no checkpoint, lacks a part, or holds another
            model's weights.
    """
    card, parts = Card.read(folder), {}
    for name, kind in kinds.items():
        replaced = name == "transformer_2" and transformer != TRANSFORMER
        if name in OPTIONAL and (replaced or name not in card.parts):
            continue
        stored = transformer if name == TRANSFORMER else name
        kind = kind.stored_as(card.part(stored).model)
        config: Any = config_from(kind.config, card.part(stored).config)
        arrays, source = open_arrays(folder.absolute() / stored), folder / stored
        check_same(arrays, names(abstract(kind.model, config)), source)
        parts[name] = Stored(kind, source, config, arrays)
    return parts


def left_out(folder: Path, parts: Mapping[str, Stored]) -> list[str]:
    """The names of the parts of a checkpoint folder that are not exported."""
    taken = {part.source.name for part in parts.values()}
    return [name for name in Card.read(folder).parts if name not in taken]


def export(
    source: Path, parts: Mapping[str, Stored], folder: Path, order: Order = Order()
) -> None:
    """Writes the parts of the checkpoint `source` as a folder that diffusers loads.

    Raises:
        ValueError: if the folder exists or cannot be written. No folder is left then.
    """
    with aside(folder) as partial:
        check_space(folder, sum(part.nbytes for part in parts.values()))
        for name, part in parts.items():
            (partial / name).mkdir()
            write_json(partial / name / "config.json", part.kind.export(part.config))
            write_shards(
                partial / name, part.kind.stem, _outgoing(part, order.progress)
            )
        shutil.copytree(source / "tokenizer", partial / "tokenizer")
        card = Card.read(source)
        scheduler = scheduler_config(source, parts[TRANSFORMER].source.name)
        (partial / "scheduler").mkdir()
        write_json(partial / "scheduler" / "scheduler_config.json", scheduler)
        index = _index(parts, scheduler, partial / "tokenizer")
        index["_class_name"] = FAMILIES[card.family].pipeline(parts[TRANSFORMER].config)
        index |= _settings(card, parts) | _image_processor(parts, partial)
        write_json(partial / "model_index.json", index)
        if order.verify:
            _verify(parts, partial, order.progress)


def _verify(
    parts: Mapping[str, Stored], folder: Path, progress: Callable[[int], object]
) -> None:
    for name, part in parts.items():
        component = open_component(folder / name)
        dtype = part.config.dtype
        written = prepare_part(name, part.kind, component, dtype)
        raise_problems(written.plan.problems)
        compare(written.plan.fills, part.source.absolute(), progress)


def _index(
    parts: Mapping[str, Stored], scheduler: Mapping[str, Any], tokenizer: Path
) -> dict[str, Any]:
    settings = tokenizer / "tokenizer_config.json"
    named = read_json(settings) if settings.is_file() else {}
    return {
        "scheduler": ["diffusers", scheduler["_class_name"]],
        "tokenizer": ["transformers", named.get("tokenizer_class", "T5TokenizerFast")],
        **{name: [part.kind.library, part.kind.name] for name, part in parts.items()},
    }


def _settings(card: Card, parts: Mapping[str, Stored]) -> dict[str, Any]:
    """The settings of the whole model that apply to the exported parts. Merged adapters
    are left out: readers would take the list for a part."""
    alone = "transformer_2" not in parts
    left_out = {"adapters", *(["boundary_ratio"] if alone else [])}
    return {k: value for k, value in card.settings.items() if k not in left_out}


def _image_processor(parts: Mapping[str, Stored], folder: Path) -> dict[str, Any]:
    """Writes the preprocessing settings of the image encoder, if there is one.

    Returns the entry for model_index.json; {} if the model has no image encoder. As in
    the original code, images are resized to a square and not cropped.
    """
    if "image_encoder" not in parts:
        return {}
    side = parts["image_encoder"].config.side
    settings = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"height": side, "width": side},
        "do_center_crop": False,
    }
    (folder / "image_processor").mkdir()
    write_json(folder / "image_processor" / "preprocessor_config.json", settings)
    return {"image_processor": ["transformers", "CLIPImageProcessor"]}


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes an object as a JSON file."""
    file.write_text(json.dumps(content, indent=2) + "\n")


def _outgoing(part: Stored, progress: Callable[[int], object]) -> list[Outgoing]:
    """The tensors to write for the arrays of a part."""
    rules = part.kind.layouts[DIFFUSERS].rules(part.config)
    table = [rule for rule in rules if isinstance(rule, Rule)]
    tensors = []
    for name, array in part.arrays.items():
        rule = next(r for r in table if indices(r.target, name) is not None)
        shape = source_shape(rule, array.shape)
        for layer, tensor in enumerate(sources(rule, name, array.shape) or []):
            where = layer if is_stacked(rule) else None
            blocks = _blocks(array, rule, where, progress)
            tensors.append(Outgoing(tensor, shape, array.dtype, blocks))
    return tensors


def _blocks(
    array: StreamedArray,
    rule: Rule,
    layer: int | None,
    progress: Callable[[int], object],
) -> Callable[[], Any]:
    """A function that yields the values of one tensor in C order, as blocks."""

    def full() -> Any:
        everything = tuple(slice(0, size) for size in array.shape)
        if layer is not None:
            everything = (slice(layer, layer + 1), *everything[1:])
        value = array.read(everything)
        yield rule.fix.back(value if layer is None else value[0])
        progress(value.nbytes)

    def rows() -> Any:
        for box in boxes(array.shape, array.dtype):
            value = array.read(box)
            yield value
            progress(value.nbytes)

    return rows if rule.fix is SAME and layer is None else full
