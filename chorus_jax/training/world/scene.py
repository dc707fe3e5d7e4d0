"""Scenes in numbers: sizes of the world, paths of objects, grounds."""

import dataclasses
from typing import Final

import numpy as np
from jaxtyping import Float

FPS: Final = 8


@dataclasses.dataclass(frozen=True)
class ObjectSizes:
    """The sizes of objects: radii over the frame's shorter side.

    Attributes:
        small: mean radius of a small object.
        large: mean radius of a large one.
        growth: least and greatest growth of an object that grows, over its mean radius;
            it begins this far below its mean radius and ends this far above it.
    """

    small: float = 0.17
    large: float = 0.23
    growth: tuple[float, float] = (0.2, 0.3)

    def radius(self, size: str) -> float:
        """The mean radius of "small" or "large"."""
        return {"small": self.small, "large": self.large}[size]


@dataclasses.dataclass(frozen=True)
class World:
    """The size of a video; lengths in the world are fractions of its shorter side.

    Attributes:
        height: the height in pixels, 48 or more.
        width: the width in pixels, 48 or more.
        frames: the number of frames, 5 or more.
        sizes: the radii of small and large objects.

    Raises:
        ValueError: for a video that is too small to distinguish shapes.
    """

    height: int = 64
    width: int = 64
    frames: int = 17
    sizes: ObjectSizes = ObjectSizes()

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 48 or self.frames < 5:
            raise ValueError(
                "a video of the shapes world has at least 48x48 pixels and 5 frames, "
                f"or its shapes cannot be told apart; got {self}"
            )

    @property
    def unit(self) -> int:
        """The shorter side in pixels."""
        return min(self.height, self.width)


@dataclasses.dataclass(frozen=True)
class Path:
    """The place and size of an object in each frame, in pixels.

    Attributes:
        x: its middle's distance from the left edge.
        y: its middle's distance from the top edge.
        radius: the radius of a circle of the same area.
    """

    x: Float[np.ndarray, " f"]
    y: Float[np.ndarray, " f"]
    radius: Float[np.ndarray, " f"]


@dataclasses.dataclass(frozen=True)
class Thing:
    """An object to be drawn.

    Attributes:
        colour: the name of its colour.
        shape: the name of its shape.
        tilt: the rotation, in radians.
        path: its place and size in each frame.
    """

    colour: str
    shape: str
    tilt: float
    path: Path


@dataclasses.dataclass(frozen=True)
class Ground:
    """A background to be drawn.

    Attributes:
        background: the name of the background.
        phases: shifts of the pattern, in radians.
    """

    background: str
    phases: tuple[float, float] = (0.0, 0.0)


@dataclasses.dataclass(frozen=True)
class Scene:
    """A ground with objects on it.

    Attributes:
        world: the size of the video.
        ground: the background.
        things: the objects, the last one in front.
    """

    world: World
    ground: Ground
    things: tuple[Thing, ...]
