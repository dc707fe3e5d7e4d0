"""The ground's texture, drawn by jax as `world/texture.py` draws it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from chorus_jax.training.world.scene import World
from chorus_jax.training.world.texture import CONTRAST, DRIFT, band


def textures(key: Array, count: int, world: World) -> Float[Array, "b f height width"]:
    """New textures of zero mean and a root mean square of `CONTRAST`."""
    waves = band(world.height, world.width)[0].size
    return textures_of(jax.random.normal(key, (count, 3, waves)), world)


def textures_of(
    parts: Float[Array, "b 3 waves"], world: World
) -> Float[Array, "b f height width"]:
    """The textures whose waves have these amplitudes (two numbers) and speeds."""
    rows, columns = band(world.height, world.width)
    frames = jnp.arange(world.frames, dtype=jnp.float32)[None, :, None]
    angles = frames * (DRIFT * parts[:, None, 2])
    turns = jax.lax.complex(jnp.cos(angles), jnp.sin(angles))
    amplitudes = jax.lax.complex(parts[:, None, 0], parts[:, None, 1])
    shape = (len(parts), world.frames, world.height, world.width // 2 + 1)
    waves = jnp.zeros(shape, jnp.complex64)
    waves = waves.at[:, :, rows, columns].set(amplitudes * turns)
    planes = jnp.fft.irfft2(waves, s=(world.height, world.width))
    scale = CONTRAST / jnp.sqrt(jnp.square(planes).mean(axis=(1, 2, 3), keepdims=True))
    return planes * scale
