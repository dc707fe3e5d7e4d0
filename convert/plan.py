"""Conversion plans: the source tensors of each parameter, and all mismatches."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chorus_jax.checkpoints.stored import Box
from convert.other_makes import make_of
from convert.rules import SAME, Alias, Rule, indices
from convert.tensors import SourceTensor

MOST_LAYERS = 1000
SHOWN = 10  # the most problems that a message lists
FLOATS = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Fill:
    """A parameter and the tensors that fill it.

    Attributes:
        target: the dotted path of the parameter.
        shape: the shape of the parameter.
        dtype: the dtype of the parameter.
        rule: the rule that applies.
        tensors: one tensor, or one per layer if the parameter is stacked.
    """

    target: str
    shape: tuple[int, ...]
    dtype: np.dtype
    rule: Rule
    tensors: tuple[SourceTensor, ...]

    @property
    def stacked(self) -> bool:
        """Whether the first axis of the parameter counts layers."""
        return is_stacked(self.rule)

    def read(self, box: Box) -> np.ndarray:
        """The block of the parameter inside a box, in the parameter's dtype."""
        if not self.stacked:
            return self._cut(self.tensors[0], box)
        layers = self.tensors[box[0]]
        return np.stack([self._cut(tensor, box[1:]) for tensor in layers])

    def _cut(self, tensor: SourceTensor, box: Box) -> np.ndarray:
        if self.rule.fix is SAME and box:
            value = self._cast(tensor.read(box[0]))
            return value[(slice(None), *box[1:])]
        # The whole tensor is read for every block of it; a layer's tensors are small.
        value = self.rule.fix.there(self._cast(tensor.read()))
        return np.array(value[box], order="C", copy=None)

    def _cast(self, value: np.ndarray) -> np.ndarray:
        # A number too large for the dtype becomes infinite, which is reported later.
        with np.errstate(over="ignore"):
            return value.astype(self.dtype, copy=False)


@dataclass(frozen=True)
class ConversionPlan:
    """The source of each parameter of a part, and the problems that prevent conversion.

    Attributes:
        part: the name of the part, such as `vae`.
        fills: the sources of each parameter, by its dotted path.
        problems: a line for each tensor or parameter that does not fit; empty if the
            part can be converted.
        repeats: pairs of tensors that must be equal: a duplicate that is not converted,
            and the tensor that is.
    """

    part: str
    fills: Mapping[str, Fill]
    problems: Sequence[str]
    repeats: Sequence[tuple[SourceTensor, SourceTensor]] = field(default=())


def is_stacked(rule: Rule) -> bool:
    """Whether a rule's tensors are the layers of one parameter."""
    return "{layer}" in rule.source and "{layer}" not in rule.target


def sources(rule: Rule, target: str, shape: Sequence[int]) -> list[str] | None:
    """The names of the tensors from which a rule fills a parameter.

    One name per layer if the parameter is stacked; None if the rule does not apply.

    Raises:
        ValueError: for more layers than any model has (the config is damaged).
    """
    index = indices(rule.target, target)
    if index is None:
        return None
    if not is_stacked(rule):
        return [rule.source.format(**index)]
    if shape[0] > MOST_LAYERS:
        raise ValueError(
            f"{target} would have {shape[0]} layers, expected at most {MOST_LAYERS}: "
            "the config is damaged"
        )
    return [rule.source.format(**index, layer=layer) for layer in range(shape[0])]


def source_shape(rule: Rule, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of each source tensor if a rule fills a parameter of this shape."""
    inner = tuple(shape[1:] if is_stacked(rule) else shape)
    # A broadcast view of one number takes no memory.
    return rule.fix.back(np.broadcast_to(np.uint8(0), inner)).shape


def make_plan(
    part: str,
    rules: Sequence[Rule | Alias],
    tensors: Mapping[str, SourceTensor],
    targets: Mapping[str, Any],
) -> ConversionPlan:
    """Matches source tensors with parameters by a table of rules.

    Mismatches are not raised; they are listed in the plan's `problems`.

    Args:
        part: the name of the part.
        rules: the table.
        tensors: the source tensors by name.
        targets: the parameters by dotted path; anything with `shape` and `dtype`.
    """
    aliases = {rule.source: rule.of for rule in rules if isinstance(rule, Alias)}
    table = [rule for rule in rules if isinstance(rule, Rule)]
    present = dict(tensors)
    for source, of in aliases.items():
        if source in tensors:
            present.setdefault(of, tensors[source])
    used: dict[str, str] = {}
    fills: dict[str, Fill] = {}
    missing: dict[str, str] = {}
    problems: list[str] = []
    for target, leaf in targets.items():
        rule = _rule_for(target, leaf.shape, table, present)
        if rule is None:
            problems.append(f"no rule fills {target}")
            continue
        names = sources(rule, target, leaf.shape) or []
        for name in names:
            if name in used:
                problems.append(f"{name} fills both {used[name]} and {target}")
            used[name] = target
        absent = {name: target for name in names if name not in present}
        missing |= absent
        if not absent:
            tensors_present = tuple(present[name] for name in names)
            fill = Fill(
                target, tuple(leaf.shape), np.dtype(leaf.dtype), rule, tensors_present
            )
            fills[target] = fill
            problems += _unfit(fill)
    extra = [name for name in tensors if name not in used and name not in aliases]
    problems += _unmatched(missing, [tensors[name] for name in extra])
    repeats = [
        (tensors[source], tensors[of])
        for source, of in aliases.items()
        if source in tensors and of in tensors
    ]
    return ConversionPlan(
        part, fills, [f"{part}: {problem}" for problem in problems], repeats
    )


def _rule_for(
    target: str, shape: Sequence[int], table: Sequence[Rule], present: Mapping[str, Any]
) -> Rule | None:
    """The first rule for a parameter whose tensors all exist, else the first rule."""
    rules = [rule for rule in table if indices(rule.target, target) is not None]
    for rule in rules:
        if all(name in present for name in sources(rule, target, shape) or []):
            return rule
    return rules[0] if rules else None


def _unfit(fill: Fill) -> list[str]:
    """Lines about tensors with a wrong dtype or shape."""
    expected = source_shape(fill.rule, fill.shape)
    problems = []
    for tensor in fill.tensors:
        if tensor.dtype.name not in FLOATS:
            problems.append(
                f"wrong dtype: {tensor.name} is {tensor.dtype}, expected one of "
                f"{', '.join(FLOATS)}"
            )
        if tensor.shape != expected:
            problems.append(
                f"wrong shape: {tensor.name} is {list(tensor.shape)}, expected "
                f"{list(expected)} to fill {fill.target} {list(fill.shape)}"
            )
    return problems


def _unmatched(missing: Mapping[str, str], extra: Sequence[SourceTensor]) -> list[str]:
    """Lines about missing and extra tensors.

    For a missing tensor the extra tensor with the most similar name is suggested.
    """
    names = [tensor.name for tensor in extra]
    problems = []
    for name, target in missing.items():
        like = difflib.get_close_matches(name, names, 1, 0.6) if len(names) < 50 else []
        renamed = f"; was it renamed to {like[0]}?" if like else ""
        problems.append(f"missing: {name}, which fills {target}{renamed}")
    for tensor in extra:
        described = f"{tensor.dtype} {list(tensor.shape)}"
        problems.append(f"extra: {tensor.name} ({described}), which no rule takes")
    return problems


def raise_problems(problems: Sequence[str]) -> None:
    """Raises a ValueError with a list of the problems, if there are any.

    It lists at most `SHOWN`; extra tensors of the source get up to half of the lines.
    """
    if not problems:
        return
    extra = [line for line in problems if ": extra: " in line]
    needed = [line for line in problems if line not in extra]
    shown = needed[: SHOWN - min(len(extra), SHOWN // 2)]
    shown += extra[: SHOWN - len(shown)]
    more = len(problems) - len(shown)
    end = f"\n  and {more} more" if more else ""
    make = make_of(extra)
    cause = f"this is of {make}: " if make else ""
    raise ValueError(
        f"{cause}the source does not fit the model, {len(problems)} problems:\n  "
        + "\n  ".join(shown)
        + end
    )
