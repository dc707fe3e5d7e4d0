"""Policies as JSON files, with what tells the weights that they were measured on."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from chorus_jax.inter_request.policy import Policy, Regions, Tier
from chorus_jax.inter_request.second_look import SecondLook, Sensitivity

T = TypeVar("T")


def write(
    path: str | Path, policy: Policy, weights: Mapping[str, str] | None = None
) -> None:
    """Writes what `read` and `weights` read; `weights` are fingerprints by part."""
    told = {"weights": dict(weights or {}), **asdict(policy)}
    Path(path).write_text(json.dumps(told, indent=2) + "\n")


def read(path: str | Path) -> Policy:
    """The policy in a file. ValueError for wrong fields."""
    return _read(path)[0]


def weights(path: str | Path) -> dict[str, str]:
    """The fingerprints, by part, of the weights that a file's policy was measured on,
    none if it was measured on none. ValueError for wrong fields."""
    return _read(path)[1]


def _read(path: str | Path) -> tuple[Policy, dict[str, str]]:
    try:
        told = json.loads(Path(path).read_text())
        found = told.pop("weights", {}) if isinstance(told, dict) else {}
        return _policy(told), _weights(found)
    except (OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no policy: {error}") from error


def _weights(told: Any) -> dict[str, str]:
    if not isinstance(told, dict) or not all(type(x) is str for x in told.values()):
        raise ValueError(f"weights are fingerprints by part, got {told!r:.300}")
    return told


def _policy(told: Any) -> Policy:
    steps = lambda name: tuple(_number(name, int, step) for step in told[name])
    needed, names = ("steps", "tiers", "keep"), {field.name for field in fields(Policy)}
    if not isinstance(told, dict) or not set(needed) <= told.keys() <= names:
        raise ValueError(
            f"expected the fields {sorted(names)}, of which regions, skipped and look "
            "may be left out, and weights; got "
            f"{sorted(told) if isinstance(told, dict) else told!r:.300}"
        )
    told = {"regions": {}, "skipped": [], "look": {}, **told}
    return Policy(
        steps=_number("steps", int, told["steps"]),
        tiers=tuple(_fields(Tier, "a tier", tier) for tier in told["tiers"]),
        keep=steps("keep"),
        regions=_fields(Regions, "regions", told["regions"]),
        skipped=steps("skipped"),
        look=_look(told["look"]),
    )


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
    types: Any = {field.name: field.type for field in fields(kind)}  # type: ignore
    if not isinstance(told, dict) or not told.keys() <= types.keys():
        raise ValueError(f"{what} has the fields {[*types]}, got {told!r:.300}")
    return kind(**{name: _number(name, types[name], told[name]) for name in told})


def _number(name: str, kind: Any, value: Any) -> Any:
    # 1 may stand for 1.0, but not 1.0 for 1, and a bool for neither.
    if type(value) not in {kind, int if kind is float else kind}:
        what = "text" if kind is str else f"a number ({kind.__name__})"
        raise ValueError(f"{name} is {what}, got {value!r}")
    return kind(value)
