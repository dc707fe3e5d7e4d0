"""Structure and chance targets of a batch of scenes, computed by jax.

`shown` is the batched form of `structure` in `training/structure.py`, and `decided` of
`chances` in `world/chances.py`.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from chorus_jax.training.device.paint import painted
from chorus_jax.training.device.scenes import Scenes
from chorus_jax.training.structure import CELLS, CONTRAST, NEAR
from chorus_jax.training.world.attributes import VALUES
from chorus_jax.training.world.chances import STILL
from chorus_jax.training.world.placing import (
    BORDER,
    RADIUS_SPREAD,
    SIDEWAYS,
    TRAVEL,
)
from chorus_jax.training.world.scene import World
from chorus_jax.training.world.shapes import REACH, TILT

Numbers = Float[Array, " b"]


def shown(
    scenes: Scenes, world: World, grid: tuple[int, int, int]
) -> Float[Array, "b f h w c"]:
    """The scenes without texture, and the offset from each latent to the object."""
    f, h, w = grid
    planes = CONTRAST * (in_latent_frames(painted(scenes, world), f) - 0.5)
    y, x = world.height // (CELLS * h), world.width // (CELLS * w)
    count = len(planes)
    cells = planes.reshape(count, f, 3, h, CELLS, y, w, CELLS, x).mean(axis=(5, 8))
    cells = cells.transpose(0, 1, 3, 5, 2, 4, 6).reshape(count, f, h, w, -1)
    return jnp.concatenate([cells, ways(scenes, world, grid)], axis=-1)


def ways(
    scenes: Scenes, world: World, grid: tuple[int, int, int]
) -> Float[Array, "b f h w places"]:
    """The object's offset to the right and down, and radius (`structure.places`)."""
    f, h, w = grid
    x, y, radius = (
        in_latent_frames(at, f)[:, :, None, None] / world.unit
        for at in (scenes.x, scenes.y, scenes.radius)
    )
    down = (jnp.arange(h, dtype=jnp.float32) + 0.5) * (world.height / world.unit / h)
    right = (jnp.arange(w, dtype=jnp.float32) + 0.5) * (world.width / world.unit / w)
    channels = (
        2 * jnp.tanh((x - right[None, None, None, :]) / NEAR),
        2 * jnp.tanh((y - down[None, None, :, None]) / NEAR),
        16 * radius - 2.5,
    )
    shape = (len(scenes.x), *grid)
    return jnp.stack(
        [jnp.broadcast_to(channel, shape) for channel in channels], axis=-1
    )


def in_latent_frames(frames: Float[Array, "b f *r"], count: int) -> Array:
    """Averages frames to latent frames: the first alone, then equal groups."""
    size, _, *inner = frames.shape
    means = frames[:, 1:].reshape(size, count - 1, -1, *inner).mean(axis=2)
    return jnp.concatenate([frames[:, :1], means], axis=1)


def decided(scenes: Scenes, world: World) -> Float[Array, "b n"]:
    """The `Chances` of scenes, one flat row per scene."""
    frame = jnp.asarray([[world.width, world.height]], jnp.float32)
    first = jnp.stack([scenes.x[:, 0], scenes.y[:, 0]], axis=1)
    last = jnp.stack([scenes.x[:, -1], scenes.y[:, -1]], axis=1)
    step, middle = last - first, (first + last) / 2
    farthest = jnp.asarray([REACH[name] for name in VALUES["shape"]])[scenes.shape]
    reach = scenes.radius.max(axis=1) * farthest + BORDER * world.unit
    least = (reach[:, None] + abs(step) / 2) / frame
    mean = scenes.radius.mean(axis=1)
    large, radius = _size(mean / world.unit, world)
    pace, sideways = _moving(step, frame - 2 * reach[:, None], world)
    growth = scenes.radius[:, -1] / mean - 1
    grown = quantile(growth, *map(jnp.asarray, world.sizes.growth))
    pace = jnp.where(growth > STILL, grown, pace)
    tilt = quantile(scenes.tilt, jnp.asarray(-TILT), jnp.asarray(TILT))
    numbers = jnp.stack([large, radius, tilt, pace, sideways], axis=1)
    return jnp.concatenate([least, 1 - least, middle / frame, numbers], axis=1)


def _size(size: Numbers, world: World) -> tuple[Numbers, Numbers]:
    """Whether an object is large, and the quantile of its radius."""
    sizes = world.sizes
    large = abs(size - sizes.large) < abs(size - sizes.small)
    expected = jnp.where(large, sizes.large, sizes.small)
    ends = jnp.asarray(-RADIUS_SPREAD), jnp.asarray(RADIUS_SPREAD)
    return large.astype(jnp.float32), quantile(size / expected - 1, *ends)


def _moving(
    step: Float[Array, "b 2"], room: Float[Array, "b 2"], world: World
) -> tuple[Numbers, Numbers]:
    """Quantiles of the path's length and of its sideways part; NaN if still."""
    across = abs(step[:, 0]) >= abs(step[:, 1])
    along = jnp.where(across, abs(step[:, 0]), abs(step[:, 1]))
    beside = jnp.where(across, step[:, 1], step[:, 0])
    least, most = (jnp.asarray(share * world.unit) for share in TRAVEL)
    longest = jnp.clip(jnp.where(across, room[:, 0], room[:, 1]), least, most)
    ends = jnp.asarray(-SIDEWAYS), jnp.asarray(SIDEWAYS)
    moves = along >= STILL
    share = beside / jnp.where(moves, along, 1)
    return (
        jnp.where(moves, quantile(along, least, longest), np.nan),
        jnp.where(moves, quantile(share, *ends), np.nan),
    )


def quantile(
    value: Numbers, low: Float[Array, "..."], high: Float[Array, "..."]
) -> Numbers:
    """The position of values between the ends, clipped to [0, 1]; NaN if the ends are
    equal."""
    size = high - low
    position = jnp.clip((value - low) / jnp.where(size < 1e-6, 1, size), 0, 1)
    return jnp.where(size < 1e-6, np.nan, position)
