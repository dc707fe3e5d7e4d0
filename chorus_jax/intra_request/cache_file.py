"""JSON files of step caches, with the weights and settings they were measured on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus_jax import json_file
from chorus_jax.intra_request import registry
from chorus_jax.intra_request.protocol import StepCache

FORMAT = 1
FIELDS = ("format", "cache", "weights", "run", "measured")


@dataclass(frozen=True, eq=False)
class MeasuredCache:
    """A step cache that was measured on a model.

    Attributes:
        cache: the step cache.
        weights: fingerprints of the model's parts, by name.
        run: the settings of the runs it was measured on, by name.
        measured: the measured figures, by name.
    """

    cache: StepCache
    weights: Mapping[str, str]
    run: Mapping[str, Any]
    measured: Mapping[str, Any]

    def check(self, weights: Mapping[str, str], run: Mapping[str, Any]) -> None:
        """Raises a ValueError for other weights or settings than the cache was measured
        with."""
        if dict(weights) != dict(self.weights):
            raise ValueError(
                "the step cache was measured on other weights: measure it on these "
                "with `chorus calibrate-cache`"
            )
        differing = {
            name: (value, run.get(name))
            for name, value in self.run.items()
            if value != run.get(name)
        }
        if differing:
            raise ValueError(
                "the step cache was measured with other settings (measured, asked "
                f"for): {differing}; give those, or measure it with these with `chorus "
                "calibrate-cache`"
            )


def write(path: Path, measured: MeasuredCache) -> None:
    """Writes a measured step cache to a file."""
    content = {
        "format": FORMAT,
        "cache": registry.describe(measured.cache),
        "weights": dict(measured.weights),
        "run": dict(measured.run),
        "measured": dict(measured.measured),
    }
    json_file.write(path, content)


def read(path: Path) -> MeasuredCache:
    """Reads a measured step cache from a file.

    Raises:
        ValueError: for a file with other content.
        OSError: for a file that cannot be read.
    """
    try:
        content = json_file.parsed(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no step cache: it is not JSON") from error
    complete = isinstance(content, dict) and set(content) == set(FIELDS)
    if not complete or content["format"] != FORMAT:
        raise ValueError(
            f"{path} is no step cache of format {FORMAT}: expected the fields "
            f"{', '.join(FIELDS)}"
        )
    parts = [content[name] for name in FIELDS[1:]]
    if not all(isinstance(part, dict) for part in parts) or "name" not in parts[0]:
        raise ValueError(f"{path} is no step cache: its fields are objects")
    fields = dict(parts[0])
    return MeasuredCache(registry.make(fields.pop("name"), fields), *parts[1:])
