"""LoRA files merged into the transformers of a source, block by block as it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from convert.family import WAN, Kind
from convert.lora import Change, aliases, changes
from convert.ltx2_family import LTX2
from convert.ltx_family import LTX
from convert.rules import Alias, Rule, indices
from convert.source import DIFFUSERS, ORIGINAL, Component, Source
from convert.tensors import SourceTensor

PARTS = {"high": "transformer", "low": "transformer_2"}
# The transformer's kind by family.
KINDS: Mapping[str, Kind] = {
    name: kinds["transformer"]
    for name, kinds in (("wan", WAN), ("ltx", LTX), ("ltx2", LTX2))
}
# Other parts that LoRAs change, by family.
BESIDE: Mapping[str, Mapping[str, Kind]] = {"ltx2": {"connectors": LTX2["connectors"]}}


@dataclass(frozen=True)
class Adapter:
    """A LoRA file, its strength, and the transformer that it changes.

    Attributes:
        file: the weights.
        strength: a finite factor on the change; 1 applies it as trained.
        part: `transformer` or `transformer_2`; None if the model has only one.
    """

    file: Path
    strength: float = 1.0
    part: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Adapter":
        """Parses `FILE`, `FILE:0.8`, `low=FILE:0.8` or `transformer_2=FILE`.

        Raises:
            ValueError: for a strength that is not finite.
        """
        part, equals, remaining = text.partition("=")
        if not equals or Path(text).exists():
            part, remaining = "", text
        file, colon, number = remaining.rpartition(":")
        try:
            strength = float(number) if colon else 1.0
        except ValueError:
            file, strength = "", 1.0
        if not np.isfinite(strength):
            raise ValueError(f"the strength of {text!r} must be finite")
        return cls(Path(file or remaining), strength, PARTS.get(part, part) or None)

    def __str__(self) -> str:
        return f"{self.part}={self.file.name}:{self.strength:g}"


@dataclass(frozen=True)
class MergedTensor:
    """A tensor of a model with the changes of LoRAs added in float32.

    Attributes:
        base: the model's tensor.
        changes: the changes, added in this order.
        dtype: the dtype of the sum.
    """

    base: SourceTensor
    changes: tuple[Change, ...]
    dtype: np.dtype = np.dtype(np.float32)

    @property
    def name(self) -> str:
        """The name of the model's tensor."""
        return self.base.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the model's tensor."""
        return self.base.shape

    @property
    def file(self) -> Path:
        """The file that contains the model's tensor."""
        return self.base.file

    def read(self, rows: slice = slice(None)) -> np.ndarray:
        """The tensor, or some rows of its first axis."""
        value = self.base.read(rows).astype(np.float32)
        for change in self.changes:
            value = value + change.read(rows).reshape(value.shape)
        return value


def merged(
    source: Source, adapters: Sequence[Adapter], skip_missing: bool = False
) -> Source:
    """Merges LoRA files into the transformers of a source.

    Args:
        source: the model.
        adapters: the LoRAs, in any order; several may change one transformer.
        skip_missing: whether to skip changes to modules that the model lacks.

    Raises:
        ValueError: for a file that is no LoRA, or a LoRA of another model; for changes
            to modules that the model lacks (listing them); for an adapter without a
            part if the model has two transformers.
    """
    parts = dict(source.components)
    files, words = [], []
    for adapter in adapters:
        adapter = replace(adapter, file=adapter.file.absolute())
        adapter = replace(adapter, part=_part(adapter, source))
        part = str(adapter.part)
        kinds = {part: KINDS[source.family], **BESIDE.get(source.family, {})}
        parts |= _changed(parts, kinds, adapter, skip_missing)
        files.append(adapter.file)
        words.append(str(adapter))
    if not adapters:
        return source
    settings = {**source.settings, "adapters": words}
    others = [*source.others, *files]
    return replace(source, components=parts, settings=settings, others=others)


def _part(adapter: Adapter, source: Source) -> str:
    there = [name for name in PARTS.values() if name in source.components]
    if adapter.part is None and len(there) == 1:
        return there[0]
    if adapter.part in there:
        return adapter.part
    if adapter.part is None:
        raise ValueError(
            f"the model has two transformers, and {adapter.file} is for one: say "
            f"which, as high={adapter.file} or low={adapter.file}"
        )
    raise ValueError(
        f"{adapter.file} is to change the part {adapter.part!r}: there "
        f"{'is' if len(there) == 1 else 'are'} {', '.join(there)}"
    )


def _changed(
    parts: Mapping[str, Component],
    kinds: Mapping[str, Kind],
    adapter: Adapter,
    skip_missing: bool,
) -> dict[str, Component]:
    """The parts that an adapter may change, by name, with its changes applied."""
    result = changes(adapter.file, adapter.strength)
    known = {
        key: (part, name)
        for part, kind in kinds.items()
        for key, name in aliases(
            parts[part].tensors, translated(parts[part], kind)
        ).items()
    }
    lacking = [f"{name} ({what})" for name, what in result if (name, what) not in known]
    if len(lacking) == len(result):
        raise ValueError(
            f"{adapter.file} is a LoRA of another model: none of its {len(result)} "
            f"modules is in this one ({', '.join(lacking[:3])})"
        )
    if lacking and not skip_missing:
        shown = "\n  ".join(lacking[:10])
        more = f"\n  and {len(lacking) - 10} more" if len(lacking) > 10 else ""
        raise ValueError(
            f"{adapter.file} changes {len(lacking)} of {len(result)} modules that this "
            f"model lacks:\n  {shown}{more}\nIf they may be left out (as those of "
            "images in the LoRAs of Wan 2.2 I2V), give --lora-skip-missing"
        )
    tensors = {part: dict(parts[part].tensors) for part in kinds}
    for key, change in result.items():
        if key in known:
            part, name = known[key]
            tensors[part][name] = _merged(tensors[part][name], change, adapter)
    return {part: replace(parts[part], tensors=own) for part, own in tensors.items()}


def _merged(base: SourceTensor, change: Change, adapter: Adapter) -> MergedTensor:
    if not change.fits(base.shape):
        raise ValueError(
            f"{adapter.file} is a LoRA of a model of other sizes: what it adds to "
            f"{base.name} does not have its shape {list(base.shape)}"
        )
    before = base.changes if isinstance(base, MergedTensor) else ()
    below = base.base if isinstance(base, MergedTensor) else base
    return MergedTensor(below, (*before, change))


def translated(part: Component, kind: Kind) -> Mapping[str, str]:
    """The name of each tensor of a part in the other layout (diffusers or original)."""
    own, other = (
        _by_target(kind.layouts[name].rules(None))
        for name in (part.layout, ORIGINAL if part.layout == DIFFUSERS else DIFFUSERS)
    )
    # A parameter may have two source tensors; both layouts list them in the same order.
    pairs = [pair for target in own for pair in zip(own[target], other.get(target, ()))]
    result = {}
    for name in part.tensors:
        for source, renamed in pairs:
            index = indices(source, name)
            if index is not None:
                result[name] = renamed.format(**index)
    return result


def _by_target(rules: Sequence[Rule | Alias]) -> dict[str, list[str]]:
    """The names of the source tensors, by the path of the parameter they fill."""
    names: dict[str, list[str]] = {}
    for rule in rules:
        if isinstance(rule, Rule):
            names.setdefault(rule.target, []).append(rule.source)
    return names
