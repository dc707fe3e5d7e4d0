"""Checks of the options that a step cache is made with, by its signature."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter
from types import NoneType, UnionType
from typing import Any, get_args

from chorus_jax.intra_request.protocol import StepCache

# The values that options of these types accept, in words and by type.
VALUES: dict[type, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
}


def check_values(
    name: str, made: Callable[..., StepCache], options: Mapping[str, Any]
) -> None:
    """Raises a ValueError for an option that must be a number, or true or false, and is
    not. `made` makes the cache, and its annotations say what is expected."""
    parameters = inspect.signature(made).parameters
    for key, value in options.items():
        annotation = parameters[key].annotation if key in parameters else None
        kinds = get_args(annotation) if isinstance(annotation, UnionType) else ()
        wanted = next((x for x in VALUES if x in (*kinds, annotation)), None)
        if wanted is None or (value is None and NoneType in kinds):
            continue
        words, types = VALUES[wanted]
        if not isinstance(value, types) or isinstance(value, bool) != (wanted is bool):
            raise ValueError(f"{key} of {name} must be {words}, got {value!r}")


def fault(parameters: Mapping[str, Parameter], options: Iterable[str]) -> str:
    """Explains the TypeError of a call with these parameters and options."""
    given = {*options}
    unknown = sorted(given - {*parameters})
    if unknown:
        return f"there is no {unknown[0]!r}"
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            return f"{name!r} is missing"
    return "a value has a wrong type"
