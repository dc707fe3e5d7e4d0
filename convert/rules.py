"""Rules: which source tensor fills which parameter, and how its layout changes.

The conversion of a model is defined by a table of rules. `{layer}` is the index on the
leading axis of a stacked parameter; any other `{name}` is an index that occurs in both
names.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Fix:
    """A change of layout and its inverse.

    Attributes:
        there: converts an array from the source's layout to ours.
        back: converts an array from our layout to the source's, on export.
    """

    there: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


SAME = Fix(lambda x: x, lambda x: x)
LINEAR = Fix(lambda x: x.T, lambda x: x.T)
# torch [out, in, t, h, w] <-> ours [t, h, w, in, out]; CONV2D is the same without t
CONV3D = Fix(lambda x: x.transpose(2, 3, 4, 1, 0), lambda x: x.transpose(4, 3, 0, 1, 2))
CONV2D = Fix(lambda x: x.transpose(2, 3, 1, 0), lambda x: x.transpose(3, 2, 0, 1))


@dataclass(frozen=True)
class Rule:
    """A line of a table: which tensor fills which parameter.

    Names are templates: `Rule("blocks.{layer}.ffn.0.weight", "layers.mlp.inner.kernel",
    LINEAR)`. A rule may match nothing if a model has no such parameter.

    Attributes:
        source: the name of the tensor.
        target: the dotted path of the parameter.
        fix: the change of layout between the two.
    """

    source: str
    target: str
    fix: Fix = SAME


@dataclass(frozen=True)
class Alias:
    """A tensor of the source that repeats another one and must be equal to it.

    Attributes:
        source: the name of the duplicate.
        of: the name of the tensor that it repeats.
    """

    source: str
    of: str


def indices(template: str, name: str) -> dict[str, str] | None:
    """The indices in a name that fits a template; None if it does not fit.

    Example: `blocks.{layer}.bias` and `blocks.7.bias` give {"layer": "7"}.
    """
    match = _pattern(template).fullmatch(name)
    return match.groupdict() if match else None


@functools.cache
def _pattern(template: str) -> re.Pattern[str]:
    # Pieces alternate between text and index names; an index may occur twice.
    pattern, seen = "", set()
    for i, piece in enumerate(re.split(r"\{(\w+)\}", template)):
        if i % 2 == 0:
            pattern += re.escape(piece)
        else:
            pattern += f"(?P={piece})" if piece in seen else rf"(?P<{piece}>\d+)"
            seen.add(piece)
    return re.compile(pattern)
