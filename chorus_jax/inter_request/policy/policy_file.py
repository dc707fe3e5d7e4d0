"""Policies as JSON files, with what tells the weights that they were measured on."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from chorus_jax.inter_request.match.second_look import SecondLook, Sensitivity
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import StepCache, registry

T = TypeVar("T")


@dataclass(frozen=True)
class Sampler:
    """How videos were sampled: the name of the solver, its shift, and the guidance."""

    solver: str
    shift: float
    guidance_scale: float


@dataclass(frozen=True)
class Measured:
    """A policy and what it was measured on, as far as that is known: fingerprints of
    weights by part, and the sampler."""

    policy: Policy
    weights: Mapping[str, str] = field(default_factory=dict)
    sampler: Sampler | None = None


def write(path: str | Path, measured: Measured) -> None:
    """Writes what `read` reads."""
    told = asdict(measured)
    policy = told.pop("policy")
    for name in ("cache", "miss_cache"):
        policy[name] = registry.describe(getattr(measured.policy, name))
    Path(path).write_text(json.dumps({**told, **policy}, indent=2) + "\n")


def read(path: str | Path) -> Measured:
    """The policy in a file. ValueError for wrong fields."""
    try:
        told = json.loads(Path(path).read_text())
        weights, sampler = ({}, None)
        if isinstance(told, dict):
            weights, sampler = told.pop("weights", {}), told.pop("sampler", None)
        return Measured(_policy(told), _weights(weights), _sampler(sampler))
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no policy: {error}") from error


def read_policy(path: str | Path) -> Policy:
    """The policy in a file, such as `chorus calibrate` writes.

    Raises:
        ValueError: for a file that holds no policy.
        OSError: for a file that cannot be read.
    """
    return read(path).policy


def _weights(told: Any) -> dict[str, str]:
    if not isinstance(told, dict) or not all(type(x) is str for x in told.values()):
        raise ValueError(f"weights are fingerprints by part, got {told!r:.300}")
    return told


def _sampler(told: Any) -> Sampler | None:
    return None if told is None else _fields(Sampler, "a sampler", told)


def _policy(told: Any) -> Policy:
    steps = lambda name: tuple(_number(name, int, step) for step in told[name])
    needed, names = ("steps", "tiers", "keep"), {each.name for each in fields(Policy)}
    if not isinstance(told, dict) or not set(needed) <= told.keys() <= names:
        raise ValueError(
            f"expected the fields {sorted(names)}, of which regions, caches and look "
            "may be left out, weights and sampler; got "
            f"{sorted(told) if isinstance(told, dict) else told!r:.300}"
        )
    every = {"name": "every"}
    told = {"regions": {}, "cache": every, "miss_cache": every, "look": {}, **told}
    return Policy(
        steps=_number("steps", int, told["steps"]),
        tiers=tuple(_fields(Tier, "a tier", tier) for tier in told["tiers"]),
        keep=steps("keep"),
        regions=_fields(Regions, "regions", told["regions"]),
        cache=_cache(told["cache"]),
        miss_cache=_cache(told["miss_cache"]),
        look=_look(told["look"]),
    )


def _cache(told: Any) -> StepCache:
    if not isinstance(told, dict) or not isinstance(told.get("name"), str):
        raise ValueError(f"a step cache has a name and fields, got {told!r:.300}")
    options = {name: told[name] for name in told if name != "name"}
    return registry.make(told["name"], options)


def _look(told: Any) -> SecondLook:
    plain = told
    if isinstance(told, dict):
        plain = {name: told[name] for name in told if name != "sensitivity"}
    look = _fields(SecondLook, "a look", plain)
    sensitivity = told.get("sensitivity")
    if sensitivity is None:
        return look
    if not isinstance(sensitivity, dict) or {*sensitivity} != {"direction", "offset"}:
        raise ValueError(
            f"a sensitivity has direction and offset, got {sensitivity!r:.300}"
        )
    numbers = sensitivity["direction"]
    direction = tuple(_number("direction", float, number) for number in numbers)
    offset = _number("offset", float, sensitivity["offset"])
    return replace(look, sensitivity=Sensitivity(direction, offset))


def _fields(kind: type[T], what: str, told: Any) -> T:
    types: Any = {each.name: each.type for each in fields(kind)}  # type: ignore
    if not isinstance(told, dict) or not told.keys() <= types.keys():
        raise ValueError(f"{what} has the fields {[*types]}, got {told!r:.300}")
    return kind(**{name: _number(name, types[name], told[name]) for name in told})


def _number(name: str, kind: Any, value: Any) -> Any:
    # 1 may stand for 1.0, but not 1.0 for 1, and a bool for neither.
    if type(value) not in {kind, int if kind is float else kind}:
        what = "text" if kind is str else f"a number ({kind.__name__})"
        raise ValueError(f"{name} is {what}, got {value!r}")
    return kind(value)
