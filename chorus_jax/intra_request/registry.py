"""The step caches by name, for policies and the command line."""

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from inspect import Parameter
from types import NoneType, UnionType
from typing import Any, get_args

from chorus_jax.intra_request.bac import BAC
from chorus_jax.intra_request.dbcache import DBCache
from chorus_jax.intra_request.dicache import DiCache
from chorus_jax.intra_request.easy import EasyCache
from chorus_jax.intra_request.erta import ERTACache
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.intra_request.foca import FoCa
from chorus_jax.intra_request.guidance_cache import GuidanceCache
from chorus_jax.intra_request.harmonica import HarmoniCa
from chorus_jax.intra_request.hicache import HiCache
from chorus_jax.intra_request.mag import MagCache
from chorus_jax.intra_request.pab import PAB
from chorus_jax.intra_request.planned import PlannedCache
from chorus_jax.intra_request.planned_tokens import PlannedTokens
from chorus_jax.intra_request.profiling import ProfilingDiT
from chorus_jax.intra_request.protocol import StepCache
from chorus_jax.intra_request.racer import RACER
from chorus_jax.intra_request.sea import SeaCache
from chorus_jax.intra_request.sen import SenCache
from chorus_jax.intra_request.skipping import EveryStep, SkipSteps
from chorus_jax.intra_request.spectrum import Spectrum
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.intra_request.tea import TeaCache

CACHES: dict[str, type] = {
    "every": EveryStep,
    "skip": SkipSteps,
    "tea": TeaCache,
    "mag": MagCache,
    "easy": EasyCache,
    "first-block": FirstBlock,
    "dbcache": DBCache,
    "taylor": TaylorSeer,
    "hicache": HiCache,
    "foca": FoCa,
    "spectrum": Spectrum,
    "racer": RACER,
    "dicache": DiCache,
    "sea": SeaCache,
    "sen": SenCache,
    "erta": ERTACache,
    "planned": PlannedCache,
    "planned-tokens": PlannedTokens,
    "guidance": GuidanceCache,
    "pab": PAB,
    "profiling": ProfilingDiT,
    "bac": BAC,
    "harmonica": HarmoniCa,
}
# The values that options of these types accept, in words and by type.
VALUES: dict[type, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
}
PUBLISHED: dict[str, Callable[..., StepCache]] = {
    "tea": TeaCache.published,
    "mag": MagCache.published,
}


def make(name: str, options: dict[str, Any]) -> StepCache:
    """Makes the step cache of this name with these fields.

    With the option `variant`, a cache in `PUBLISHED` takes the published settings of
    that model, and the options are the arguments of its `published`.

    Raises:
        ValueError: for an unknown name or field, listing the known ones.
    """
    if name not in CACHES:
        raise ValueError(
            f"no step cache is named {name!r}: choose one of {', '.join(CACHES)}"
        )
    plain = {key: _hashable(value) for key, value in options.items()}
    published = "variant" in plain and name in PUBLISHED
    made = PUBLISHED[name] if published else CACHES[name]
    check_values(name, made, plain)
    try:
        return made(**plain)
    except TypeError as error:
        parameters = inspect.signature(made).parameters
        known = ", ".join(parameters) or "none"
        either = " or a published variant" if name in PUBLISHED else ""
        which, more = (" by a published variant", "") if published else ("", either)
        raise ValueError(
            f"the step cache {name!r}{which} has the fields {known}{more}, got "
            f"{options}: {fault(parameters, options)}"
        ) from error


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


def parse(text: str) -> StepCache:
    """Makes a step cache from text such as `tea:variant=wan21_t2v_1_3b,threshold=.08`.

    Raises:
        ValueError: as in `make`, and for options that are not name=value.
    """
    name, _, fields_text = text.partition(":")
    options = {}
    for option in filter(None, _split(fields_text)):
        key, sign, value = option.partition("=")
        if not sign:
            raise ValueError(f"expected NAME:option=value,..., got {text!r}")
        options[key.strip()] = _value(value.strip())
    return make(name.strip(), options)


def describe(cache: StepCache) -> dict[str, Any]:
    """The name and fields of a step cache, to be written to a file; `make` takes them.

    Raises:
        ValueError: for a step cache whose class is not in `CACHES`, and so has no name.
    """
    for name, kind in CACHES.items():
        if type(cache) is kind and is_dataclass(cache):
            return {"name": name, **asdict(cache)}
    raise ValueError(
        f"the step cache {cache!r:.80} has no name: list its class in CACHES of "
        "chorus_jax/intra_request/registry.py"
    )


def _split(text: str) -> list[str]:
    """Splits options at the commas that are not within parentheses or brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _value(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _hashable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in value)
    return value
