"""The card of a checkpoint folder, `model.json`, which describes its weights."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from chorus_jax import json_file
from chorus_jax.checkpoints.fields import checked

NAME = "model.json"
FORMAT = 1

C = TypeVar("C")


@dataclass(frozen=True)
class Part:
    """One model of a checkpoint folder.

    Attributes:
        model: the name of its class.
        config: the fields of its config.
        dtype: the dtype of its weights, such as `bfloat16`.
        parameters: the number of its weights.
        fingerprint: SHA-256 of its config and weights.
    """

    model: str
    config: Mapping[str, Any]
    dtype: str
    parameters: int
    fingerprint: str


@dataclass(frozen=True)
class Card:
    """The content of a checkpoint folder.

    Attributes:
        family: the name of the model's family, such as `wan`.
        parts: its models by name.
        scheduler: the source's scheduler_config.json; None if it had none.
        sources: SHA-256 digests of the files that the weights came from, by path.
        settings: settings of the whole model that belong to no part, such as the
            boundary between two experts.
    """

    family: str
    parts: Mapping[str, Part]
    scheduler: Mapping[str, Any] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """One digest of all weights, independent of the source they came from."""
        return fingerprint(
            (name, part.fingerprint) for name, part in self.parts.items()
        )

    def part(self, name: str) -> Part:
        """A part by name. Raises a ValueError if the folder has none of that name."""
        if name not in self.parts:
            raise ValueError(
                f"no part {name!r} in this model: it has {list(self.parts)}"
            )
        return self.parts[name]

    def write(self, folder: Path) -> None:
        """Writes `model.json` into the folder."""
        content = {
            "format": FORMAT,
            "fingerprint": self.fingerprint,
            **dataclasses.asdict(self),
        }
        (folder / NAME).write_text(json.dumps(content, indent=2) + "\n")

    @classmethod
    def read(cls, folder: str | Path) -> "Card":
        """The card of a folder.

        Raises a ValueError if there is none, if it is not a card, or if its format is
        newer.
        """
        path = Path(folder) / NAME
        if not path.is_file():
            raise ValueError(
                f"{folder} has no {NAME}: it is no converted model, or its conversion "
                f"did not end; make one with `chorus convert SRC {folder}`"
            )
        content = _parsed(path)
        number = content.get("format", 0)
        if not isinstance(number, int):
            raise ValueError(f"{path} is not a model card: its format is {number!r}")
        if number > FORMAT:
            raise ValueError(
                f"{path} has format {number}, but this version reads "
                f"formats up to {FORMAT}: update chorus_jax"
            )
        try:
            parts = {name: _part(part) for name, part in content["parts"].items()}
            family, scheduler = content["family"], content["scheduler"]
            sources, settings = content["sources"], content.get("settings", {})
            return checked(cls(family, parts, scheduler, sources, settings))
        except KeyError as error:
            raise ValueError(f"{path} is not a model card: it lacks {error}") from error
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is not a model card: {error}") from error

    def of_family(self, family: str) -> "Card":
        """Returns this card. Raises a ValueError if it is of another family of
        models."""
        if self.family != family:
            raise ValueError(
                f"these weights are of the family {self.family!r}, not {family!r}: "
                f"give a folder with {family!r} weights"
            )
        return self


def _parsed(path: Path) -> dict[str, Any]:
    try:
        content = json_file.read(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a model card: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a model card: it holds no JSON object")
    return content


def config_from(config: type[C], fields: Mapping[str, Any]) -> C:
    """A config dataclass from the fields in a card.

    Raises a ValueError if the dataclass has other fields or other types.
    """
    try:
        return checked(config(**fields))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the card's config is not a {config.__name__}: {error}; the weights are "
            "of another model or of another version of chorus_jax"
        ) from error


def _part(fields: dict[str, Any]) -> Part:
    config = {name: _frozen(value) for name, value in fields["config"].items()}
    return checked(Part(**{**fields, "config": config}))


def _frozen(value: Any) -> Any:
    # JSON has lists where a config has tuples.
    return tuple(_frozen(x) for x in value) if isinstance(value, list) else value


def fingerprint(digests: Iterable[tuple[str, str]]) -> str:
    """One digest of named digests, in any order."""
    lines = sorted(f"{name} {digest}\n" for name, digest in digests)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
