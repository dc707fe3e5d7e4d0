"""Frames of a batch of scenes, drawn by jax as `world/render.py` draws one scene."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from chorus_jax.training.device.scenes import Scenes
from chorus_jax.training.world.attributes import VALUES
from chorus_jax.training.world.palette import (
    CHECKS_ACROSS,
    COLOURS,
    GROUNDS,
    STRIPES_ACROSS,
)
from chorus_jax.training.world.scene import World
from chorus_jax.training.world.shapes import signed_distance

PAINTS = np.asarray([COLOURS[name] for name in VALUES["colour"]], np.float32)
MEANS = np.asarray([GROUNDS[name].colour for name in VALUES["background"]], np.float32)
SWINGS = np.asarray([GROUNDS[name].swing for name in VALUES["background"]], np.float32)


def filmed(
    scenes: Scenes, grain: Float[Array, "b f height width"], world: World
) -> UInt8[Array, "b f height width 3"]:
    """Videos of the scenes with this texture on their grounds."""
    levels = jnp.clip(painted(scenes, world, grain) * 255 + 0.5, 0, 255)
    return levels.astype(jnp.uint8).transpose(0, 1, 3, 4, 2)


def painted(
    scenes: Scenes, world: World, grain: Float[Array, "b f height width"] | None = None
) -> Float[Array, "b f 3 height width"]:
    """The scenes' frames in [0, 1] (beyond it where grain is added)."""
    planes = grounds(scenes, world)[:, None]
    if grain is not None:
        planes = planes + grain[:, :, None]
    cover = coverage(scenes, world)[:, :, None]
    colour = jnp.asarray(PAINTS)[scenes.colour][:, None, :, None, None]
    return planes + cover * (colour - planes)


def coverage(scenes: Scenes, world: World) -> Float[Array, "b f height width"]:
    """The share of each pixel that the object covers, 0 to 1."""
    y = (jnp.arange(world.height, dtype=jnp.float32) + 0.5)[None, None, :, None]
    x = (jnp.arange(world.width, dtype=jnp.float32) + 0.5)[None, None, None, :]
    x, y = x - scenes.x[..., None, None], y - scenes.y[..., None, None]
    radius = scenes.radius[..., None, None]
    cos, sin = (turn(scenes.tilt)[:, None, None, None] for turn in (jnp.cos, jnp.sin))
    turned_x, turned_y = (cos * x + sin * y) / radius, (cos * y - sin * x) / radius
    distance = jnp.zeros_like(turned_x)
    for number, shape in enumerate(VALUES["shape"]):
        drawn = (scenes.shape == number)[:, None, None, None]
        distance = jnp.where(
            drawn, signed_distance(shape, turned_x, turned_y), distance
        )
    return jnp.clip(0.5 - distance * radius, 0, 1)


def grounds(scenes: Scenes, world: World) -> Float[Array, "b 3 height width"]:
    """The grounds without their texture."""
    down, across = _angles(world, STRIPES_ACROSS)
    angle = (down[:, None] + across[None])[None] + scenes.phases[:, :1, None]
    stripes = jnp.sin(angle)
    down, across = _angles(world, CHECKS_ACROSS)
    checks = (
        jnp.sin(down[None] + scenes.phases[:, :1])[:, :, None]
        * jnp.sin(across[None] + scenes.phases[:, 1:])[:, None, :]
    )
    striped = scenes.background == VALUES["background"].index("striped")
    wave = jnp.where(striped[:, None, None], stripes, checks)
    mean, swing = (
        jnp.asarray(table)[scenes.background][:, :, None, None]
        for table in (MEANS, SWINGS)
    )
    return mean + swing * wave[:, None]


def _angles(
    world: World, across: float
) -> tuple[Float[Array, " height"], Float[Array, " width"]]:
    turn = 2 * np.pi * across / world.unit
    return (
        (jnp.arange(world.height, dtype=jnp.float32) + 0.5) * turn,
        (jnp.arange(world.width, dtype=jnp.float32) + 0.5) * turn,
    )
