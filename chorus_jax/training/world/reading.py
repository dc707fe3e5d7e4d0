"""The oracle's reading of a video."""

import dataclasses
from typing import Final

from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.scene import Ground, Path, Thing

UNCLEAR: Final = "unclear"


@dataclasses.dataclass(frozen=True)
class Reading:
    """The oracle's reading of one object and its ground.

    Attributes:
        colour: the name of the object's colour, or "unclear".
        shape: the name of the object's shape, or "unclear".
        size: the name of the object's size, or "unclear".
        motion: the name of the object's motion, or "unclear".
        background: the name of the background, or "unclear".
        confidence: by attribute: 0 where two values are equally near, 1 where the video
            is exactly what the world draws.
        nearest: the nearest values, also of unclear attributes; None without an object.
        ground: the ground for a rendering of the reading.
        thing: the object for a rendering of the reading, on its steady path; None
            without an object.
        seen: the object's path frame by frame; None without an object.
        unsteady: how far the path is from straight lines (see `Trend`).
    """

    colour: str
    shape: str
    size: str
    motion: str
    background: str
    confidence: dict[str, float]
    nearest: Attributes | None
    ground: Ground
    thing: Thing | None
    seen: Path | None
    unsteady: float

    def agrees(self, attributes: Attributes) -> dict[str, bool]:
        """By attribute, whether the reading agrees; a size of None is left out."""
        stated = dataclasses.asdict(attributes)
        return {k: getattr(self, k) == v for k, v in stated.items() if v is not None}


def nothing_read(ground: Ground, background: str, sure: float) -> Reading:
    """The reading of a video on which no object is found."""
    names = ("colour", "shape", "size", "motion")
    return Reading(
        **dict.fromkeys(names, UNCLEAR),
        background=background,
        confidence=dict.fromkeys(names, 0.0) | {"background": sure},
        nearest=None,
        ground=ground,
        thing=None,
        seen=None,
        unsteady=float("inf"),
    )
