"""Conversion of a source folder into a checkpoint folder, block by block."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chorus_jax.checkpoints import (
    Card,
    StreamedArray,
    abstract,
    check_space,
    describe,
    names,
    resumed,
    write_arrays,
)
from chorus_jax.checkpoints.fields import checked
from chorus_jax.checkpoints.stored import Box
from convert.digests import Progress, TakeDigest, checked_digest, file_digests
from convert.family import Kind
from convert.finished import FinishedParts
from convert.fit import check_fit
from convert.identity import identity
from convert.plan import ConversionPlan, Fill, make_plan, raise_problems
from convert.source import Component, Source
from convert.tensors import SourceTensor
from convert.verify import compare

log = logging.getLogger(__name__)

ROWS = 4096


@dataclass(frozen=True)
class Prepared:
    """One part of a model, ready to be converted; nothing is written yet.

    Attributes:
        module: the part's module with abstract parameters: shapes and dtypes, no
            values.
        plan: the source tensors that fill each parameter.
    """

    module: Any
    plan: ConversionPlan

    @property
    def parameters(self) -> int:
        """The number of parameters of the part."""
        return sum(x.size for x in names(self.module).values())

    @property
    def nbytes(self) -> int:
        """The size of the parameters in bytes."""
        return sum(x.size * x.dtype.itemsize for x in names(self.module).values())


def prepare(
    source: Source, kinds: Mapping[str, Kind], dtype: str | Mapping[str, str]
) -> dict[str, Prepared]:
    """Plans the conversion of all parts of a source.

    Mismatches are not raised; they are listed in each plan's `problems`.

    Args:
        source: the model.
        kinds: the kind of each part.
        dtype: one dtype for all parts, or a dtype per part.

    Raises:
        ValueError: if a config of the source cannot be read.
    """
    dtypes = dict.fromkeys(kinds, dtype) if isinstance(dtype, str) else dtype
    return {
        part: prepare_part(part, kind, source.components[part], dtypes[part])
        for part, kind in kinds.items()
        if part in source.components
    }


def prepare_part(part: str, kind: Kind, component: Component, dtype: str) -> Prepared:
    """Plans the conversion of one part.

    Raises:
        ValueError: naming the file, if its config is damaged or of another model.
    """
    kind = kind.read_from(component.config)
    read = kind.layouts.get(component.layout)
    if read is None:
        raise ValueError(
            f"{component.files[0]} has the {part} in the {component.layout} layout, "
            f"which is not read: give it in {' or '.join(kind.layouts)}'s"
        )
    class_name = component.config.get("_class_name", read.name)
    if class_name != read.name:
        raise ValueError(
            f"{component.files[0]} describes a {class_name}; the {part} must be a "
            f"{read.name}"
        )
    try:
        config = checked(read.config(dict(component.config), dtype))
        module = abstract(kind.model, config)
    except KeyError as error:
        raise ValueError(f"the config.json of the {part} lacks {error}") from error
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{component.files[0]}: {error}") from error
    plan = make_plan(part, read.rules(config), component.tensors, names(module))
    return Prepared(module, plan)


def check(parts: Mapping[str, Prepared]) -> None:
    """Raises a ValueError if the plans have problems, listing those of all parts."""
    raise_problems([line for part in parts.values() for line in part.plan.problems])


def work(source: Source, parts: Mapping[str, Prepared], passes: int) -> int:
    """The bytes that a conversion reports as progress.

    Every source file counts once, every array `passes` times.
    """
    files = sum(file.stat().st_size for file in source.files())
    return files + passes * sum(part.nbytes for part in parts.values())


@dataclass(frozen=True)
class Order:
    """Options of a conversion.

    Attributes:
        verify: whether to read source and result again and compare them.
        progress: called with the number of bytes processed since the last call.
        trial: called with the complete folder before it is renamed to its final name;
            an error that it raises ends the conversion.
        digest: computes the digest of a source file.
    """

    verify: bool = False
    progress: Progress = lambda _: None
    trial: Callable[[Path], object] = lambda _: None
    digest: TakeDigest = checked_digest


def convert(
    source: Source, parts: Mapping[str, Prepared], folder: Path, order: Order = Order()
) -> Card:
    """Writes the checkpoint folder and returns its card.

    Only a few blocks of tensors are in memory at a time. A killed conversion leaves no
    folder that could be loaded; the next conversion to the same folder keeps the parts
    that are complete.

    Args:
        source: the model.
        parts: the plans from `prepare`.
        folder: the folder to write; it must not exist.
        order: further options.

    Raises:
        ValueError: if parts do not fit, if a tensor holds NaN or infinite values, or if
            the folder exists or cannot be written. No folder is left then.
    """
    check(parts)
    check_place(source, folder)
    check_fit(source, parts)
    with (
        resumed(folder) as partial,
        file_digests(source, order.digest, order.progress) as digests,
    ):
        finished = FinishedParts(partial)
        finished.keep_only(parts)
        missing = [part for name, part in parts.items() if name not in finished.names()]
        check_space(folder, sum(part.nbytes for part in missing))
        stream = _Stream(order.progress)
        entries = {}
        for name, part in parts.items():
            made_of = lambda: identity(part.plan, part.module.config, digests)
            written = _kept(finished, name, part, made_of, order.progress)
            if written is None:
                written = write_arrays(partial / name, stream.arrays(part.plan))
                if not stream.problems():
                    finished.add(name, made_of(), written)
            entries[name] = describe(part.module, part.module.config, written)
        raise_problems(stream.problems())
        if order.verify:
            for name, part in parts.items():
                compare(part.plan.fills, partial / name, order.progress)
        source.tokenizer.write(partial / "tokenizer")
        digested, settings = digests.named(), dict(source.settings)
        card = Card(source.family, entries, source.scheduler, digested, settings)
        finished.clear()
        card.write(partial)
        order.trial(partial)
    return card


def _kept(
    finished: FinishedParts,
    name: str,
    part: Prepared,
    made_of: Callable[[], str],
    progress: Progress,
) -> dict[str, str] | None:
    """The digests of a part's arrays if an earlier run completed it, else None."""
    if name not in finished.names():
        return None
    written = finished.digests(name, made_of())
    if written is not None:
        progress(part.nbytes)
        log.warning("%s: complete from a conversion that was stopped", name)
    return written


def check_place(source: Source, folder: Path) -> None:
    """Raises a ValueError for a target inside the source's model or tokenizer folder.

    Such a target would be taken for a part of the model, or copied into itself.
    """
    folders = [source.folder] * (source.folder / "model_index.json").is_file()
    for place in (*folders, source.tokenizer.place):
        if not isinstance(place, Path) or not place.is_dir():
            continue
        if folder.resolve().is_relative_to(place.resolve()):
            raise ValueError(
                f"{folder} lies within the source {place}: choose another folder"
            )


class _Stream:
    """Streams the parameters of plans to disk, and checks them for NaN and infinity."""

    def __init__(self, progress: Progress):
        self._progress = progress
        self._bad: dict[str, int] = {}
        self._unequal: list[str] = []

    def arrays(self, plan: ConversionPlan) -> dict[str, StreamedArray]:
        """The parameters of a part as arrays that are read when they are written."""
        self._unequal += [
            f"{plan.part}: {one.name} differs from {other.name}, which it must repeat"
            for one, other in plan.repeats
            if not _equal(one, other)
        ]
        return {
            name: StreamedArray(fill.shape, fill.dtype, self._reader(plan.part, fill))
            for name, fill in plan.fills.items()
        }

    def problems(self) -> list[str]:
        """Problems found in the values so far, a line per tensor."""
        bad = [
            f"{name} holds {count} values that are NaN or infinite"
            for name, count in self._bad.items()
        ]
        return self._unequal + bad

    def _reader(self, part: str, fill: Fill) -> Callable[[Box], np.ndarray]:
        def read(box: Box) -> np.ndarray:
            block = fill.read(box)
            if not np.isfinite(block).all():
                self._blame(part, fill, box, block)
            self._progress(block.nbytes)
            return block

        return read

    def _blame(self, part: str, fill: Fill, box: Box, block: np.ndarray) -> None:
        tensors: Sequence[SourceTensor] = (
            fill.tensors[box[0]] if fill.stacked else fill.tensors
        )
        layers = block if fill.stacked else block[None]
        for tensor, layer in zip(tensors, layers):
            count = int(layer.size - np.isfinite(layer).sum())
            if count:
                name = f"{part}: {tensor.name}"
                self._bad[name] = self._bad.get(name, 0) + count


def _equal(one: SourceTensor, other: SourceTensor) -> bool:
    if one.shape != other.shape:
        return False
    starts = range(0, one.shape[0], ROWS) if one.shape else [0]
    return all(
        np.array_equal(one.read(slice(i, i + ROWS)), other.read(slice(i, i + ROWS)))
        for i in starts
    )
