"""Configs: Python files with `get_config()`, by path or by their name in `configs`.

A config may also set three globals: `WEIGHTS`, the name of shipped weights,
`TRANSFORMER`, the part of a checkpoint folder that is run, and `FPS`, the frames per
second at which its videos are shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chorus_jax.cli.config_source import ConfigSource
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.ours import folder_of
from chorus_jax.request import Request


@dataclass(frozen=True)
class Config:
    """A request without its prompt, and the weights that it is for.

    Attributes:
        name: the name or path by which it was loaded.
        request: a request without its prompt.
        weights: the name of shipped weights; None if it is for other weights than
            shipped ones.
        transformer: the part of a checkpoint folder that is run. Any but the usual one
            counts as distilled, with its guidance folded in.
        fps: frames per second; None for the family's default.
    """

    name: str
    request: Request
    weights: str | None = None
    transformer: str = TRANSFORMER
    fps: int | None = None

    @property
    def distilled(self) -> bool:
        """Whether the transformer is distilled, that is, not the usual one."""
        return self.transformer != TRANSFORMER

    def changed(self, given: Mapping[str, Any]) -> Request:
        """The request with the given fields. Raises a ValueError for another guidance
        scale where guidance is folded into the transformer."""
        request, fixed = self.request.changed(**given), self.request.guidance_scale
        if self.distilled and request.guidance_scale != fixed:
            raise ValueError(
                f"{self.transformer} has its guidance folded in: its guidance_scale is "
                f"{fixed}, got {request.guidance_scale}; leave --guidance-scale out, "
                "or take an undistilled transformer, such as that of --config shapes"
            )
        return request


def load_config(name: str) -> Config:
    """Loads a config by the path of its file, or one of ours by its name.

    Raises:
        ValueError: if there is no such config; naming file and line, if it does not run
            or sets something to a value of a wrong type.
    """
    source = ConfigSource.read(config_path(name))
    module = source.run()
    request = source.call(module, "get_config")
    if not isinstance(request, Request):
        raise ValueError(
            f"{source.place('get_config')}: needs a get_config() that returns a "
            f"Request, got {request!r:.80}"
        )
    return Config(
        name,
        request,
        source.value(module, "WEIGHTS", str, "the name of shipped weights"),
        source.value(module, "TRANSFORMER", str, "the name of a part") or TRANSFORMER,
        source.value(module, "FPS", int, "a whole number of frames per second"),
    )


def config_names() -> list[str]:
    """The names of the configs in `configs`."""
    files = folder_of("configs").glob("*.py")
    return sorted(file.stem for file in files if file.stem != "__init__")


def config_path(name: str) -> Path:
    """The file of a config. Raises a ValueError, with the known names, if there is
    none."""
    if name in config_names():
        return folder_of("configs") / f"{name}.py"
    path = Path(name)
    if path.suffix != ".py" or not path.is_file():
        raise ValueError(
            f"--config {name} is no Python file and no config's name; the names are "
            f"{', '.join(config_names())}"
        )
    return path
