"""Draws a scene: an anti-aliased video of moving shapes on a textured ground."""

import numpy as np
from jaxtyping import Float32, UInt8

from chorus_jax.media.pixels import Planes, to_pixels
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.palette import COLOURS, ground_planes
from chorus_jax.training.world.placing import place
from chorus_jax.training.world.scene import Scene, Thing, World
from chorus_jax.training.world.shapes import signed_distance
from chorus_jax.training.world.texture import texture


def render(
    attributes: Attributes,
    seed: int | np.random.Generator,
    world: World = World(),
    second: Attributes | None = None,
) -> UInt8[np.ndarray, "f height width 3"]:
    """A video of these attributes; everything else is drawn from the seed.

    With `second` there are two objects, small, apart, and of different colours.
    """
    rng = np.random.default_rng(seed)
    return filmed(place(attributes, rng, world, second), rng)


def filmed(
    scene: Scene, rng: np.random.Generator
) -> UInt8[np.ndarray, "f height width 3"]:
    """Renders a scene as a video; its texture is drawn from the generator."""
    return to_pixels(paint(scene, texture(rng, scene.world)))


def paint(
    scene: Scene, grain: Float32[np.ndarray, "f height width"] | None = None
) -> Planes:
    """The scene's frames in [0, 1] (beyond it where grain is added), channels first."""
    world, ground = scene.world, scene.ground
    still = ground_planes(ground.background, ground.phases, world.height, world.width)
    planes = np.empty((world.frames, *still.shape), np.float32)
    planes[:] = still
    if grain is not None:
        planes += grain[:, None]
    for thing in scene.things:
        colour = np.asarray(COLOURS[thing.colour], np.float32)[:, None, None]
        cover = coverage(thing, world)[:, None]
        planes += cover * (colour - planes)
    return planes


def coverage(thing: Thing, world: World) -> Float32[np.ndarray, "f height width"]:
    """The share of each pixel that the object covers, 0 to 1."""
    path = thing.path
    y = np.arange(world.height, dtype=np.float32)[None, :, None] + np.float32(0.5)
    x = np.arange(world.width, dtype=np.float32)[None, None, :] + np.float32(0.5)
    x, y = x - path.x[:, None, None], y - path.y[:, None, None]
    radius = path.radius[:, None, None].astype(np.float32)
    cos, sin = np.float32(np.cos(thing.tilt)), np.float32(np.sin(thing.tilt))
    turned_x, turned_y = (cos * x + sin * y) / radius, (cos * y - sin * x) / radius
    pixels = signed_distance(thing.shape, turned_x, turned_y) * radius
    return np.clip(np.float32(0.5) - pixels, 0, 1)
