"""Resolves command-line options to weights, transformer and request."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chorus_jax.checkpoints import shipped
from chorus_jax.cli.config_file import Config, load_config
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.registry import family_of
from chorus_jax.request import Request

log = logging.getLogger(__name__)

# The configs of the shipped weights: by number of steps, and for any other number.
BY_STEPS, OTHERWISE = {4: "shapes_4step"}, "shapes"


@dataclass(frozen=True)
class CommandSettings:
    """The model and the settings of a command.

    Attributes:
        folder: the checkpoint folder of the weights.
        transformer: the part of the folder that is run as the transformer.
        request: the request with all given fields, without its prompt.
        fps: frames per second of the videos.
        source: where the settings that were not given come from, in words.
        warnings: settings that the weights were not trained on or that have no effect,
            one sentence each.
    """

    folder: Path
    transformer: str
    request: Request
    fps: int
    source: str = ""
    warnings: tuple[str, ...] = ()

    def warn(self) -> None:
        """Logs the warnings. Called after all checks, so that an error comes alone."""
        for warning in self.warnings:
            log.warning(warning)


def choose(
    weights: str | Path | None, config: str | None, given: Mapping[str, Any]
) -> CommandSettings:
    """Resolves weights, config and given fields to the settings of a command.

    Args:
        weights: a converted folder, or the name of shipped weights; None for the
            weights that the config names, or the shipped ones.
        config: the name of a config or the path of a Python file; None for the defaults
            of the weights.
        given: fields of the request that were given.

    Raises:
        ValueError: if config, weights and fields do not go together.
    """
    choice = resolved(weights, config, given)
    if given.get("negative_prompt") and not choice.request.guided:
        warning = (
            "negative_prompt is not read without guidance: leave it out, or give a "
            "guidance_scale above 1 if the model is not distilled"
        )
        return replace(choice, warnings=(*choice.warnings, warning))
    return choice


def resolved(
    weights: str | Path | None, config: str | None, given: Mapping[str, Any]
) -> CommandSettings:
    """The settings of a command; arguments and errors as in `choose`."""
    if config is not None:
        return of_config(load_config(config), weights, given)
    if weights is None or shipped.locate(weights) == shipped.ROOT / OTHERWISE:
        return of_shipped(given)
    folder = shipped.locate(weights)
    defaults = family_of(folder).defaults(folder)
    request = defaults.changed(**given)
    return CommandSettings(folder, TRANSFORMER, request, defaults.fps, defaults.source)


def of_shipped(given: Mapping[str, Any]) -> CommandSettings:
    """The settings for the shipped weights, by the number of steps."""
    name = BY_STEPS.get(given.get("steps", 0))
    if name is not None:
        # The config lists its own sigmas, which a number of steps would replace.
        given = {field: value for field, value in given.items() if field != "steps"}
    choice = of_config(load_config(name or OTHERWISE), None, given)
    return replace(
        choice, source=f"what these weights were trained for ({name or OTHERWISE})"
    )


def of_config(
    config: Config, weights: str | Path | None, given: Mapping[str, Any]
) -> CommandSettings:
    """The settings of a config, with the given weights or the ones that the config
    names."""
    if weights is None and config.weights is None:
        raise ValueError(
            f"--config {config.name} is for weights that are not shipped: give "
            '--weights DIR, a converted folder, or write WEIGHTS = "shapes" in it'
        )
    ours = weights is None or shipped.locate(weights) == shipped.ROOT / OTHERWISE
    folder = (
        shipped.folder(str(config.weights))
        if weights is None
        else shipped.locate(weights)
    )
    family = family_of(folder)
    defaults = family.defaults(folder, config.transformer)
    request = defaults.fitted(config.changed(given), given)
    fps = config.fps or family.fps
    return CommandSettings(
        folder,
        config.transformer,
        request,
        fps,
        f"--config {config.name}",
        tuple(untrained(config, request)) if ours else (),
    )


def untrained(config: Config, request: Request) -> Iterator[str]:
    """Warnings of settings that the shipped weights of a config were not trained on.

    The weights were trained for the size of the config that has their name, a distilled
    transformer also for the schedule of its own config.
    """
    trained = load_config(config.weights or OTHERWISE).request
    for name in ("frames", "height", "width"):
        value, usual = getattr(request, name), getattr(trained, name)
        if value != usual:
            yield f"{name}={value}: these weights were trained on {usual} only"
    if config.distilled and request.make_solver() != config.request.make_solver():
        yield (
            f"{config.transformer} was distilled for the steps, solver and shift of "
            f"--config {config.name}, but others were given"
        )


def with_fps(choice: CommandSettings, fps: int | None) -> CommandSettings:
    """The settings with other frames per second.

    Args:
        choice: the settings.
        fps: the frames per second, set in the request too if the model reads them; None
            keeps the request's, or else the settings'.
    """
    defaults = family_of(choice.folder).defaults(choice.folder, choice.transformer)
    reads = defaults.request.fps is not None
    if fps is not None:
        request = choice.request.changed(fps=fps) if reads else choice.request
        return replace(choice, fps=fps, request=request)
    if choice.request.fps is not None:
        return replace(choice, fps=round(choice.request.fps))
    return choice


def with_prompt(choice: CommandSettings, prompt: str, seed: int | None) -> Request:
    """The request of the settings, with a prompt and a seed."""
    return replace(choice.request, prompt=prompt, seed=seed)
