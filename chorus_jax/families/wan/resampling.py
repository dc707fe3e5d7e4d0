"""Changes of resolution without parameters, of the Wan 2.2 VAE.

Source: Wan-Video/Wan2.2, wan/modules/vae2_2.py (AvgDown3D, DupUp3D, patchify).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def means(
    x: Float[Array, "b f h w i"], outputs: int, time: int, space: int
) -> Float[Array, "b t y x o"]:
    """Means of groups of the values of each box of `time` x `space` x `space` pixels.

    A box's values are ordered by channel, then frame, row and column, and cut into
    `outputs` groups. Frames that do not fill a box have zeros before them.
    """
    x = jnp.pad(x, ((0, 0), (-x.shape[1] % time, 0), (0, 0), (0, 0), (0, 0)))
    b, f, h, w, c = x.shape
    boxes = (b, f // time, time, h // space, space, w // space, space, c)
    y = x.reshape(boxes).transpose(0, 1, 3, 5, 7, 2, 4, 6)
    groups = y.reshape(*y.shape[:4], outputs, -1)
    return groups.astype(jnp.float32).mean(axis=-1).astype(x.dtype)


def repeats(
    x: Float[Array, "b f h w i"], outputs: int, time: int, space: int, first: bool
) -> Float[Array, "b t y x o"]:
    """Boxes of `time` x `space` x `space` pixels filled with repeated channels.

    Channels are repeated until they fill the box, ordered as in `means`. With `first`
    the video's first frame stands for one frame: its earlier copies are dropped.
    """
    b, f, h, w, c = x.shape
    y = jnp.repeat(x, outputs * time * space * space // c, axis=-1)
    y = y.reshape(b, f, h, w, outputs, time, space, space)
    y = y.transpose(0, 1, 5, 2, 6, 3, 7, 4)
    y = y.reshape(b, f * time, h * space, w * space, outputs)
    return y[:, time - 1 :] if first else y


def to_pixel_patches(
    x: Float[Array, "b f h w c"], side: int
) -> Float[Array, "b f y x p"]:
    """Patches of pixels as channels: by colour, then column, then row."""
    b, f, h, w, c = x.shape
    y = x.reshape(b, f, h // side, side, w // side, side, c)
    y = y.transpose(0, 1, 2, 4, 6, 5, 3)
    return y.reshape(b, f, h // side, w // side, c * side * side)


def from_pixel_patches(
    x: Float[Array, "b f y x p"], side: int
) -> Float[Array, "b f h w c"]:
    """The reverse of `to_pixel_patches`."""
    b, f, h, w, p = x.shape
    y = x.reshape(b, f, h, w, p // side**2, side, side)
    y = y.transpose(0, 1, 2, 6, 3, 5, 4)
    return y.reshape(b, f, h * side, w * side, -1)
