"""Checks, without a loaded model, that a step cache fits a run."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from chorus_jax.intra_request.protocol import StepCache
from chorus_jax.intra_request.sizes import Size
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class RunProperties:
    """The properties of a run that a step cache may be made for.

    Attributes:
        schedule: the schedule.
        layers: the number of layers of the transformer.
        branches: the names of a layer's branches.
        size: height and width of the video's latents.
    """

    schedule: Schedule
    layers: int
    branches: tuple[str, ...]
    size: Size


@runtime_checkable
class FittedCache(Protocol):
    """A step cache that is made for certain runs."""

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for a run that it does not fit."""


def reuses_velocities(cache: StepCache) -> bool:
    """Whether a step cache reuses or forecasts velocities, not residuals."""
    return getattr(cache, "grain", "") == "velocity"


def check_velocities(cache: StepCache, obstacle: str) -> None:
    """Raises a ValueError for a step cache that reuses velocities, if there is an
    obstacle to that in the run (see `Request.velocity_obstacle`)."""
    if obstacle and reuses_velocities(cache):
        raise ValueError(
            f"{obstacle}, so that velocities of earlier steps cannot be used again, as "
            f"{type(cache).__name__} does: choose a step cache that reuses residuals, "
            "such as sea or taylor:grain=residual"
        )


def check_layers(name: str, count: int, run: RunProperties) -> None:
    """Raises a ValueError for a run without further layers than the first `count`; a
    step cache has this number in its field `name`."""
    if count >= run.layers:
        raise ValueError(
            f"{name}={count} would run all of the model's {run.layers} layers in every "
            f"step: give a {name} below {run.layers}"
        )


def check_fits(cache: StepCache, run: RunProperties) -> None:
    """Raises a ValueError if a step cache was made for other steps, another model or
    another size."""
    if isinstance(cache, FittedCache):
        cache.check(run)
