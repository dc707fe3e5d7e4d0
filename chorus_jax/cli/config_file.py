"""Configs: Python files with `get_config()`, by path or by their name in `configs`.

A config may also say which weights it is for: `WEIGHTS` are shipped ones by name,
`TRANSFORMER` is the part of a checkpoint folder that is run, `FPS` the speed at which
its videos are to be shown.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chorus_jax.families.wan.parts import TRANSFORMER
from chorus_jax.request import Request

FPS = 16  # Wan's


@dataclass(frozen=True)
class Config:
    """A request without its prompt, and the weights that it is for.

    `weights` is None if they are not shipped. A `transformer` other than the usual one
    is a distilled one: its guidance is folded in.
    """

    name: str
    request: Request
    weights: str | None = None
    transformer: str = TRANSFORMER
    fps: int = FPS

    @property
    def distilled(self) -> bool:
        """Whether the transformer is another than the usual one."""
        return self.transformer != TRANSFORMER

    def changed(self, given: Mapping[str, Any]) -> Request:
        """The request with the fields given. ValueError if its guidance is fixed."""
        request, fixed = replace(self.request, **given), self.request.guidance_scale
        if self.distilled and request.guidance_scale != fixed:
            raise ValueError(
                f"{self.transformer} has its guidance folded in: its guidance_scale is "
                f"{fixed}, got {request.guidance_scale}; leave --guidance-scale out, "
                "or take an undistilled transformer, such as that of --config shapes"
            )
        return request


def load_config(name: str) -> Config:
    """A config by the path of its file, or one of `configs` by its name.

    ValueError if there is no such config, or if what it says is not what is needed.
    """
    module = imported(name)
    request = module.get_config() if hasattr(module, "get_config") else None
    if not isinstance(request, Request):
        raise ValueError(f"--config {name} needs a get_config() that returns a Request")
    return Config(
        name,
        request,
        getattr(module, "WEIGHTS", None),
        getattr(module, "TRANSFORMER", TRANSFORMER),
        getattr(module, "FPS", FPS),
    )


def imported(name: str) -> Any:
    """The module of a config. ValueError if there is none."""
    if name.isidentifier() and importlib.util.find_spec(f"configs.{name}"):
        return importlib.import_module(f"configs.{name}")
    spec = importlib.util.spec_from_file_location("config", name)
    if spec is None or spec.loader is None or not Path(name).is_file():
        raise ValueError(f"--config {name} is no Python file and no config's name")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
