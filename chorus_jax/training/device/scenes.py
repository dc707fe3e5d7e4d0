"""Scenes of one object as arrays, and scenes drawn at random for given attributes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.training.naming import UNKNOWN
from chorus_jax.training.world.attributes import VALUES
from chorus_jax.training.world.placing import (
    BORDER,
    RADIUS_SPREAD,
    SIDEWAYS,
    TRAVEL,
    WAYS,
)
from chorus_jax.training.world.scene import Scene, World
from chorus_jax.training.world.shapes import REACH, TILT

COLUMNS = {name: i for i, name in enumerate(VALUES)}
GROWS = VALUES["motion"].index("grows")


class Scenes(NamedTuple):
    """A batch of scenes of one object each.

    Attributes:
        colour: number of the object's colour in `VALUES`.
        shape: number of its shape.
        background: number of the background.
        tilt: the object's tilt, in radians.
        phases: the phases of the background's pattern, down and across, in radians.
        x: the object's centre in each frame, in pixels from the left.
        y: the object's centre in each frame, in pixels from the top.
        radius: the radius of a circle with the object's area, in pixels.
    """

    colour: Int[Any, " b"]
    shape: Int[Any, " b"]
    background: Int[Any, " b"]
    tilt: Float[Any, " b"]
    phases: Float[Any, "b 2"]
    x: Float[Any, "b f"]
    y: Float[Any, "b f"]
    radius: Float[Any, "b f"]


def stacked(scenes: Sequence[Scene]) -> Scenes:
    """Scenes of one object each, as arrays."""
    things = [scene.things[0] for scene in scenes]
    grounds = [scene.ground for scene in scenes]
    numbers = (
        [VALUES["colour"].index(thing.colour) for thing in things],
        [VALUES["shape"].index(thing.shape) for thing in things],
        [VALUES["background"].index(ground.background) for ground in grounds],
    )
    figures = (
        [thing.tilt for thing in things],
        [ground.phases for ground in grounds],
        [thing.path.x for thing in things],
        [thing.path.y for thing in things],
        [thing.path.radius for thing in things],
    )
    return Scenes(
        *(jnp.asarray(column, jnp.int32) for column in numbers),
        *(jnp.asarray(np.asarray(column, np.float32)) for column in figures),
    )


def random_scenes(
    key: Array, attributes: Int[Array, "b named"], world: World
) -> Scenes:
    """Random scenes that show these attributes.

    Args:
        key: random key for everything that the attributes leave open.
        attributes: numbers of attribute values, in the order of `VALUES`; a size may be
            `UNKNOWN`, which is either.
        world: how large frames and objects are.

    Returns:
        Scenes with the distribution of `world.placing.place`.
    """
    keys = iter(jax.random.split(key, 6))
    motion = attributes[:, COLUMNS["motion"]]
    shape = attributes[:, COLUMNS["shape"]]
    radius = _radius(next(keys), attributes[:, COLUMNS["size"]], motion, world)
    reach = radius.max(axis=1) * jnp.asarray(
        [REACH[name] for name in VALUES["shape"]], jnp.float32
    ).at[shape].get(mode="clip")
    x, y = _centre(next(keys), motion, reach + BORDER * world.unit, world)
    count = (len(attributes),)
    return Scenes(
        attributes[:, COLUMNS["colour"]],
        shape,
        attributes[:, COLUMNS["background"]],
        jax.random.uniform(next(keys), count, minval=-TILT, maxval=TILT),
        jax.random.uniform(next(keys), (*count, 2), maxval=2 * np.pi),
        x,
        y,
        radius,
    )


def _radius(
    key: Array, size: Int[Array, " b"], motion: Int[Array, " b"], world: World
) -> Float[Array, "b f"]:
    keys = iter(jax.random.split(key, 3))
    either = jax.random.randint(next(keys), size.shape, 0, 2)
    chosen = jnp.where(size == UNKNOWN, either, size)
    sizes, count = world.sizes, size.shape
    mean = jnp.where(chosen == VALUES["size"].index("large"), sizes.large, sizes.small)
    spread = jax.random.uniform(next(keys), count, minval=-1.0, maxval=1.0)
    mean = mean * world.unit * (1 + RADIUS_SPREAD * spread)
    low, high = sizes.growth
    growth = jax.random.uniform(next(keys), count, minval=low, maxval=high)
    growth = jnp.where(motion == GROWS, growth, 0.0)
    along = jnp.linspace(-1.0, 1.0, world.frames)[None]
    return mean[:, None] * (1 + growth[:, None] * along)


def _centre(
    key: Array, motion: Int[Array, " b"], reach: Float[Array, " b"], world: World
) -> tuple[Float[Array, "b f"], Float[Array, "b f"]]:
    """Random straight paths that keep objects of this reach within the frame."""
    keys = iter(jax.random.split(key, 3))
    ways = [WAYS.get(name, (0, 0)) for name in VALUES["motion"]]
    way = jnp.asarray(ways, jnp.float32)[motion]
    room = jnp.asarray([[world.width, world.height]], jnp.float32) - 2 * reach[:, None]
    least, most = (fraction * world.unit for fraction in TRAVEL)
    longest = jnp.clip((abs(way) * room).sum(axis=1), least, most)
    share, side = jax.random.uniform(next(keys), (2, len(motion)))
    travel = least + share * (longest - least)
    beside = abs(way[:, ::-1]) * SIDEWAYS * (2 * side[:, None] - 1)
    step = travel[:, None] * (way + beside)
    free = jax.random.uniform(next(keys), step.shape) * (room - abs(step))
    middle = reach[:, None] + abs(step) / 2 + free
    along = jnp.linspace(-0.5, 0.5, world.frames)[None]
    x, y = (middle[:, axis, None] + step[:, axis, None] * along for axis in (0, 1))
    return x, y
