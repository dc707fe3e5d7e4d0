"""Which weights run, and with which settings: what a command line leaves open."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chorus_jax.checkpoints import Card, shipped
from chorus_jax.cli.config_file import Config, load_config
from chorus_jax.families.protocols import TRANSFORMER, Defaults
from chorus_jax.families.registry import family_of
from chorus_jax.request import Request, scheduled

log = logging.getLogger(__name__)

# What the shipped weights run with if no config is named: by steps, and otherwise.
BY_STEPS, OTHERWISE = {4: "shapes_4step"}, "shapes"


@dataclass(frozen=True)
class Choice:
    """The weights, the part that is the transformer, the request, frames a second.

    `note` says what was chosen for the user; it is empty if nothing was.
    """

    folder: Path
    transformer: str
    request: Request
    fps: int
    note: str = ""


def choose(
    weights: Path | None, config: str | None, given: Mapping[str, Any]
) -> Choice:
    """What runs, with the fields of the request that were given.

    With `weights` and no config, settings are those of the model's authors if it is a
    model that is known, else solver and shift that the weights came with; the log says
    where the two differ.
    Without `weights` the shipped ones run; the log warns of what they were not trained
    on. ValueError if config, weights and fields do not go together.
    """
    if weights is None:
        return choose_shipped(config, given)
    if config is None:
        defaults = family_of(weights).defaults(weights)
        stored = scheduled(Card.read(weights).scheduler)
        for line in overruled(defaults, stored):
            log.warning(line)
        base = Request(prompt="", **(stored | dict(defaults.request)))
        return Choice(weights, TRANSFORMER, replace(base, **given), defaults.fps)
    named = load_config(config)
    fps = named.fps or family_of(weights).fps
    return Choice(weights, named.transformer, named.changed(given), fps)


def overruled(defaults: Defaults, stored: Mapping[str, Any]) -> list[str]:
    """Where the scheduler that weights came with differs from their authors' own."""
    return [
        f"{name}={defaults.request[name]}, as the authors of {defaults.model} have it; "
        f"the scheduler that came with the weights says {value}"
        for name, value in stored.items()
        if defaults.request.get(name, value) != value
    ]


def choose_shipped(name: str | None, given: Mapping[str, Any]) -> Choice:
    """The shipped weights of a config; without one, those for the steps given."""
    if name is None and (name := BY_STEPS.get(given.get("steps", 0))):
        # That config has sigmas: the solver would space as many steps differently.
        given = {field: value for field, value in given.items() if field != "steps"}
    config = load_config(name or OTHERWISE)
    if config.weights is None:
        raise ValueError(
            f"--config {config.name} is for weights that are not shipped: give "
            '--weights DIR, a converted folder, or write WEIGHTS = "shapes" in it'
        )
    folder, request = shipped.folder(config.weights), config.changed(given)
    for line in untrained(config, request):
        log.warning(line)
    note = f"shipped weights {config.weights}, {config.transformer}: {config.name}"
    fps = config.fps or family_of(folder).fps
    return Choice(folder, config.transformer, request, fps, note)


def untrained(config: Config, request: Request) -> list[str]:
    """How a request differs from what the shipped weights of a config were trained on.

    They were trained for the config that has their name, and a distilled transformer
    for the schedule of its own.
    """
    trained = load_config(str(config.weights)).request
    lines = [
        f"{name}={getattr(request, name)}: these weights were trained on "
        f"{getattr(trained, name)} only"
        for name in ("frames", "height", "width")
        if getattr(request, name) != getattr(trained, name)
    ]
    if config.distilled and request.make_solver() != config.request.make_solver():
        lines.append(
            f"{config.transformer} was distilled for the steps, solver and shift of "
            f"--config {config.name}, but others were given"
        )
    return lines
