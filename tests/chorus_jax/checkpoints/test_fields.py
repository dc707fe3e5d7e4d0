"""Values from JSON against the annotations of a dataclass."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from chorus_jax.checkpoints.fields import ADDED, checked, described


@dataclass(frozen=True)
class Record:
    depth: int = 2
    epsilon: float = 1e-6
    image_width: int | None = None
    patch: tuple[int, int] = (1, 2)
    means: tuple[float, ...] = (0.5,)
    halve: bool = False
    extra: Mapping[str, Any] | None = None
    dtype: str = "bfloat16"


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"epsilon": 0, "image_width": 3, "means": (1, 2.5), "extra": {"a": [1]}},
        {"means": (), "halve": True, "dtype": "float32"},
    ],
)
def test_good(good):
    record = replace(Record(), **good)
    assert checked(record) is record


@pytest.mark.parametrize(
    ("field", "value", "needed"),
    [
        ("depth", "2", "int"),
        ("depth", 2.0, "int"),
        ("depth", True, "int"),
        ("epsilon", "1e-6", "float"),
        ("image_width", 1.5, "int | None"),
        ("patch", (1,), "tuple[int, int]"),
        ("patch", 2, "tuple[int, int]"),
        ("means", (0.5, "1"), "tuple[float, ...]"),
        ("halve", 1, "bool"),
        ("extra", [], "collections.abc.Mapping[str, typing.Any] | None"),
        ("dtype", "float17", "one such as 'bfloat16'"),
        ("dtype", "int32", "one such as 'bfloat16'"),
        ("dtype", None, "str"),
    ],
)
def test_wrong(field, value, needed):
    with pytest.raises(ValueError) as caught:
        checked(replace(Record(), **{field: value}))
    assert str(caught.value) == f"in a Record, {field} is {value!r}, needs {needed}"


@dataclass(frozen=True)
class Grown:
    """A config that gained a field.

    Attributes:
        width: there from the start.
        places: added.
    """

    width: int
    places: int | None = field(default=None, metadata=ADDED)


def test_a_field_that_was_added_counts_where_it_is_given():
    assert described(Grown(2)) == {"width": 2}
    assert described(Grown(2, 3)) == {"width": 2, "places": 3}
