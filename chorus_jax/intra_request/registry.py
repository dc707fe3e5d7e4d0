"""The step caches by name, for policies and the command line."""

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

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
from chorus_jax.intra_request.mixture import Mixture
from chorus_jax.intra_request.options import check_values, fault
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
    "mixture": Mixture,
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
    published = "variant" in options and name in PUBLISHED
    made = PUBLISHED[name] if published else CACHES[name]
    plain = {key: _plain(made, key, value) for key, value in options.items()}
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


def parse(text: str) -> StepCache:
    """Makes a step cache from text such as `tea:variant=wan21_t2v_1_3b,threshold=.08`
    or `mixture:steps=(taylor:interval=2),within=(guidance:interval=5)`.

    Raises:
        ValueError: as in `make`, and for options that are not name=value.
    """
    name, _, options_text = text.partition(":")
    options = {}
    for option in filter(None, _split(options_text)):
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
    described = lambda x: describe(x) if isinstance(x, StepCache) else x
    for name, kind in CACHES.items():
        if type(cache) is kind and is_dataclass(cache):
            named = {x.name: getattr(cache, x.name) for x in fields(cache)}
            return {"name": name, **{k: described(x) for k, x in named.items()}}
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


def _plain(made: Callable[..., StepCache], key: str, value: Any) -> Any:
    """The value of an option, hashable. A step cache within another one is given as
    text in parentheses, or as `describe` has it."""
    parameters = inspect.signature(made).parameters
    if key not in parameters or parameters[key].annotation is not StepCache:
        return _hashable(value)
    if isinstance(value, Mapping):
        inner = dict(value)
        return make(inner.pop("name", ""), inner)
    if isinstance(value, str):
        enclosed = value.startswith("(") and value.endswith(")")
        return parse(value[1:-1] if enclosed else value)
    if isinstance(value, StepCache):
        return value
    raise ValueError(f"{key} must be a step cache, such as (taylor), got {value!r}")


def _hashable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_hashable(item) for item in value)
    return value
