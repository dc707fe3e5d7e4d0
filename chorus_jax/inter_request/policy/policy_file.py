"""Policies as JSON files, with fingerprints of the weights they were calibrated on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from chorus_jax import json_file
from chorus_jax.inter_request.match.second_look import SecondLook, Sensitivity
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import StepCache, registry

T = TypeVar("T")

NEEDED = {"steps", "tiers"}


@dataclass(frozen=True)
class Sampler:
    """Sampling settings with which a policy was calibrated.

    Attributes:
        solver: the solver's name.
        shift: the shift of the schedule.
        guidance_scale: values up to 1 mean no guidance.
    """

    solver: str
    shift: float
    guidance_scale: float


@dataclass(frozen=True)
class Measured:
    """A policy with the weights and settings that it was calibrated on.

    Attributes:
        policy: the policy.
        weights: fingerprints of the weights, by part; empty if unknown.
        sampler: the sampling settings; None if unknown.
    """

    policy: Policy
    weights: Mapping[str, str] = field(default_factory=dict)
    sampler: Sampler | None = None


def write(path: str | Path, measured: Measured) -> None:
    """Writes a policy to a JSON file that `read` reads. It replaces another one when it
    is complete."""
    content = asdict(measured)
    policy = content.pop("policy")
    for name in ("cache", "miss_cache"):
        policy[name] = registry.describe(getattr(measured.policy, name))
    json_file.write(path, {**content, **policy})


def read(path: str | Path) -> Measured:
    """Reads a policy from a JSON file.

    Raises:
        ValueError: for a file that holds no policy.
        OSError: for a file that cannot be read.
    """
    try:
        content = json_file.parsed(Path(path).read_text())
        weights, sampler = ({}, None)
        if isinstance(content, dict):
            weights, sampler = content.pop("weights", {}), content.pop("sampler", None)
        return Measured(_policy(content), _weights(weights), _sampler(sampler))
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no policy: {error}") from error


def read_policy(path: str | Path) -> Policy:
    """The policy in a file, such as `chorus calibrate` writes.

    Raises:
        ValueError: for a file that holds no policy.
        OSError: for a file that cannot be read.
    """
    return read(path).policy


def _weights(content: Any) -> dict[str, str]:
    if not isinstance(content, dict) or not all(
        type(x) is str for x in content.values()
    ):
        raise ValueError(f"weights are fingerprints by part, got {content!r:.300}")
    return content


def _sampler(content: Any) -> Sampler | None:
    return None if content is None else _fields(Sampler, "a sampler", content)


def _policy(content: Any) -> Policy:
    names = {entry.name for entry in fields(Policy)}
    if isinstance(content, dict) and "keep" in content:
        raise ValueError(
            "it was measured by an earlier version, whose hits began from latents of "
            "key steps (`keep`): measure it again with `chorus calibrate`"
        )
    if not isinstance(content, dict) or not NEEDED <= content.keys() <= names:
        raise ValueError(
            f"a policy has the fields {', '.join(sorted(NEEDED))}, and may have "
            f"{', '.join(sorted(names - NEEDED))}, sampler, weights; got "
            f"{sorted(content) if isinstance(content, dict) else content!r:.300}"
        )
    every = {"name": "every"}
    content = {
        "regions": {},
        "cache": every,
        "miss_cache": every,
        "look": {},
        **content,
    }
    return Policy(
        steps=_number("steps", int, content["steps"]),
        tiers=tuple(_fields(Tier, "a tier", tier) for tier in content["tiers"]),
        regions=_fields(Regions, "regions", content["regions"]),
        cache=_cache(content["cache"]),
        miss_cache=_cache(content["miss_cache"]),
        look=_look(content["look"]),
    )


def _cache(content: Any) -> StepCache:
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise ValueError(f"a step cache has a name and fields, got {content!r:.300}")
    options = {name: content[name] for name in content if name != "name"}
    return registry.make(content["name"], options)


def _look(content: Any) -> SecondLook:
    plain = content
    if isinstance(content, dict):
        plain = {name: content[name] for name in content if name != "sensitivity"}
    look = _fields(SecondLook, "a look", plain)
    sensitivity = content.get("sensitivity")
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


def _fields(kind: type[T], what: str, content: Any) -> T:
    types: Any = {entry.name: entry.type for entry in fields(kind)}  # type: ignore
    if not isinstance(content, dict) or not content.keys() <= types.keys():
        raise ValueError(f"{what} has the fields {[*types]}, got {content!r:.300}")
    return kind(**{name: _number(name, types[name], content[name]) for name in content})


def _number(name: str, kind: Any, value: Any) -> Any:
    # Accepts 1 for a float, but not 1.0 for an int, nor a bool for either.
    if type(value) not in {kind, int if kind is float else kind}:
        what = "text" if kind is str else f"a number ({kind.__name__})"
        raise ValueError(f"{name} is {what}, got {value!r}")
    return kind(value)
