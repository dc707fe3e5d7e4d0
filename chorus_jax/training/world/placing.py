"""Random scenes for given attributes: position, speed, size, phase and tilt."""

import dataclasses
from typing import Final

import numpy as np
from jaxtyping import Float

from chorus_jax.training.world.attributes import VALUES, Attributes
from chorus_jax.training.world.scene import Ground, Path, Scene, Thing, World
from chorus_jax.training.world.shapes import REACH, TILT

# All lengths are fractions of the shorter side of a frame.
PAIRED: Final = 0.125 / 0.15  # factor of the radii of two objects, so that they fit
RADIUS_SPREAD: Final = 0.05  # of the radius, to either side
TRAVEL: Final = (0.2, 0.45)  # from the first frame to the last
SIDEWAYS: Final = 0.1  # of the travel, at most, to either side
BORDER: Final = 0.01
WAYS: Final = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def place(
    attributes: Attributes,
    rng: np.random.Generator,
    world: World,
    second: Attributes | None = None,
) -> Scene:
    """A random scene that shows the attributes.

    Two objects are both small and never touch.
    """
    down, across = (float(phase) for phase in rng.uniform(0, 2 * np.pi, 2))
    ground = Ground(attributes.background, (down, across))
    if second is None:
        return Scene(world, ground, (_thing(attributes, rng, world),))
    _check_pair(attributes, second)
    while True:
        first, other = (
            _thing(dataclasses.replace(item, size="small"), rng, world, PAIRED)
            for item in (attributes, second)
        )
        if _gap(first, other) > 0:
            return Scene(world, ground, (first, other))


def _gap(a: Thing, b: Thing) -> float:
    """Pixels between the circles around two objects where they come closest."""
    apart = np.hypot(a.path.x - b.path.x, a.path.y - b.path.y)
    reach = a.path.radius * REACH[a.shape] + b.path.radius * REACH[b.shape]
    return float((apart - reach).min())


def _check_pair(first: Attributes, second: Attributes) -> None:
    if first.colour == second.colour or first.background != second.background:
        raise ValueError(
            "two objects differ in colour and share one background, got "
            f"{first} and {second}"
        )
    if "large" in (first.size, second.size):
        raise ValueError(f"two objects are both small, got {first} and {second}")


def _thing(
    attributes: Attributes,
    rng: np.random.Generator,
    world: World,
    scale: float = 1.0,
) -> Thing:
    size = attributes.size or VALUES["size"][int(rng.integers(2))]
    radius = np.float32(scale) * _radius(attributes.motion, size, rng, world)
    reach = float(radius.max()) * REACH[attributes.shape] + BORDER * world.unit
    x, y = _centre(attributes.motion, reach, rng, world)
    tilt = float(rng.uniform(-TILT, TILT))
    return Thing(attributes.colour, attributes.shape, tilt, Path(x, y, radius))


def _radius(
    motion: str, size: str, rng: np.random.Generator, world: World
) -> Float[np.ndarray, " f"]:
    mean = world.sizes.radius(size) * world.unit
    mean *= 1 + RADIUS_SPREAD * rng.uniform(-1, 1)
    growth = rng.uniform(*world.sizes.growth) if motion == "grows" else 0.0
    return (mean * (1 + growth * np.linspace(-1, 1, world.frames))).astype(np.float32)


def _centre(
    motion: str, reach: float, rng: np.random.Generator, world: World
) -> tuple[Float[np.ndarray, " f"], Float[np.ndarray, " f"]]:
    """A random straight path that keeps an object of this reach within the frame."""
    way = np.array(WAYS.get(motion, (0, 0)), float)
    room = np.array([world.width, world.height]) - 2 * reach
    least, most = (fraction * world.unit for fraction in TRAVEL)
    # If the frame has no room for the longest path, paths end at its border.
    longest = float(np.clip(abs(way) @ room, least, most))
    travel = rng.uniform(least, longest)
    step = travel * (way + abs(way[::-1]) * SIDEWAYS * rng.uniform(-1, 1))
    middle = reach + abs(step) / 2 + rng.uniform(0, 1, 2) * (room - abs(step))
    along = np.linspace(-0.5, 0.5, world.frames)
    centres = middle[:, None] + step[:, None] * along
    x, y = centres.astype(np.float32)
    return x, y
