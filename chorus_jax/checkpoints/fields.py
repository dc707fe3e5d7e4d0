"""Checks the fields of a dataclass read from JSON against their annotations."""

import dataclasses
import types
from typing import Any, TypeVar, Union, get_args, get_origin

import jax.numpy as jnp

C = TypeVar("C")

# The metadata of a config's field that was added once weights had been published.
ADDED = types.MappingProxyType({"added": True})


def described(config: Any) -> dict[str, Any]:
    """The fields of a config, as written to a card and digested in a fingerprint.

    A field marked `ADDED` is left out if it has its default value, so that weights
    converted before the field existed keep their fingerprint.
    """
    fields = dataclasses.asdict(config)
    for field in dataclasses.fields(config):
        if "added" in field.metadata and getattr(config, field.name) == field.default:
            del fields[field.name]
    return fields


def checked(record: C) -> C:
    """Returns the dataclass instance. Raises a ValueError if fields have values of
    other types.

    A field called `dtype` must name a dtype.
    """
    fields: Any = dataclasses.fields(record)  # type: ignore[arg-type]
    values = {field.name: getattr(record, field.name) for field in fields}
    wrong = [
        f"{field.name} is {values[field.name]!r}, needs {_named(field.type)}"
        for field in fields
        if not _fits(values[field.name], field.type)
    ]
    if not wrong and not _is_dtype(values.get("dtype", "float32")):
        wrong.append(f"dtype is {values['dtype']!r}, needs one such as 'bfloat16'")
    if wrong:
        raise ValueError(f"in a {type(record).__name__}, {'; '.join(wrong)}")
    return record


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is tuple and isinstance(value, tuple):
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        return len(kinds) == len(value) and all(map(_fits, value, kinds))
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    # JSON may write a float as an integer.
    wanted = (int, float) if kind is float else origin or kind
    return isinstance(value, wanted)


def _named(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _is_dtype(name: str) -> bool:
    try:
        return bool(jnp.issubdtype(jnp.dtype(name), jnp.floating))
    except TypeError:
        return False
