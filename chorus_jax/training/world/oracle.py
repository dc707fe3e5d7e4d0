"""Reads a video's attributes back from its pixels, without knowing its prompt.

Everything is compared with what the world can show: an attribute's value is the
nearest one, or "unclear" if none is near enough or a second one is almost as near.
"""

from typing import Final

import numpy as np

from chorus_jax.media.pixels import Planes, Video, to_planes
from chorus_jax.training.world.attributes import VALUES, Attributes
from chorus_jax.training.world.ground_fit import fit_ground
from chorus_jax.training.world.motions import compare_motions, fit_trend, steady_path
from chorus_jax.training.world.objects import Object, find_objects
from chorus_jax.training.world.palette import COLOURS
from chorus_jax.training.world.reading import UNCLEAR, Reading, nothing_read
from chorus_jax.training.world.render import paint
from chorus_jax.training.world.scene import Ground, ObjectSizes, Scene, Thing, World
from chorus_jax.training.world.silhouettes import compare_shapes, silhouette

Distances = dict[str, float]

# The greatest distance at which a value is accepted, in its comparison's own measure.
LIMITS: Final = {
    "colour": 0.3,
    "shape": 0.35,
    "size": 0.25,
    "motion": 0.5,
    "background": 0.12,
}
SURE: Final = 0.15  # the least confidence
UNSTEADY: Final = 0.25  # a path this far from a straight one is no motion of the world
THERE: Final = 0.8  # share of the frames in which an object must be seen


def read(video: Video, sizes: ObjectSizes = ObjectSizes()) -> Reading:
    """Reads the largest object of a video (uint8, or floats in [-1, 1])."""
    return read_all(video, 1, sizes)[0]


def read_all(
    video: Video, count: int, sizes: ObjectSizes = ObjectSizes()
) -> tuple[Reading, ...]:
    """Reads one object or two, the largest first.

    Objects are distinguished by colour. An object that is not found has unclear
    attributes.
    """
    if count not in (1, 2):
        raise ValueError(f"the oracle reads one object or two, not {count}")
    planes = to_planes(video)
    fit = fit_ground(planes)
    background, sure = _choose("background", fit.distances)
    nearest = min(fit.distances, key=fit.distances.__getitem__)
    objects = find_objects(planes, fit.planes(*planes.shape[-2:]), count)
    ground = fit.grounds[nearest]
    readings = [_read_object(item, ground, background, sure, sizes) for item in objects]
    missing = nothing_read(ground, background, sure)
    return tuple(readings + [missing] * (count - len(readings)))


def render_back(world: World, *readings: Reading) -> Planes:
    """The structure that was read, in [0, 1]: exact colours, steady paths, no texture.

    Where an attribute is unclear the nearest value is drawn.
    """
    things = tuple(item.thing for item in readings if item.thing is not None)
    return paint(Scene(world, readings[0].ground, things))


def _read_object(
    seen_object: Object,
    ground: Ground,
    background: str,
    sure: float,
    sizes: ObjectSizes,
) -> Reading:
    if seen_object.there.mean() < THERE:
        return nothing_read(ground, background, sure)
    unit = min(seen_object.masks.shape[1:])
    outline = silhouette(seen_object.masks, seen_object.path, seen_object.there)
    shapes, tilts = compare_shapes(outline)
    trend = fit_trend(seen_object.path, seen_object.there)
    distances = {
        "colour": _compare_colours(seen_object.colour),
        "shape": shapes,
        "size": _compare_sizes(trend.middle[2] / unit, sizes),
        "motion": compare_motions(trend, unit, sizes.growth[0]),
    }
    chosen = {name: _choose(name, item) for name, item in distances.items()}
    if trend.unsteady > UNSTEADY:
        chosen["motion"] = UNCLEAR, 0.0
    nearest = {k: min(item, key=item.__getitem__) for k, item in distances.items()}
    path = steady_path(trend, nearest["motion"], len(seen_object.masks))
    return Reading(
        **{name: value for name, (value, _) in chosen.items()},
        background=background,
        confidence={k: v for k, (_, v) in chosen.items()} | {"background": sure},
        nearest=Attributes(**nearest, background=ground.background),
        ground=ground,
        thing=Thing(nearest["colour"], nearest["shape"], tilts[nearest["shape"]], path),
        seen=seen_object.path,
        unsteady=trend.unsteady,
    )


def _choose(name: str, distances: Distances) -> tuple[str, float]:
    """The nearest value or "unclear", and how much nearer it is than the next."""
    (first, value), (second, _), *_ = sorted((d, v) for v, d in distances.items())
    sure = max(0.0, 1 - first / second) if second > 0 else 0.0
    return (value if first < LIMITS[name] and sure > SURE else UNCLEAR), sure


def _compare_colours(colour: np.ndarray) -> Distances:
    return {
        name: float(np.linalg.norm(colour - np.array(value)))
        for name, value in COLOURS.items()
    }


def _compare_sizes(radius: float, sizes: ObjectSizes) -> Distances:
    """Distances of a radius from each size: the absolute logarithm of their ratio."""
    radius = max(radius, 1e-6)
    return {
        size: abs(float(np.log(radius / sizes.radius(size)))) for size in VALUES["size"]
    }
