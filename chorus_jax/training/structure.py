"""A second target: what a clip shows apart from its texture, and where.

Nearly all of what a transformer has to foretell of a noisy clip is texture, which it
cannot foretell, and in its error's gradient the shapes are lost. So one of its middle
layers is also asked, through a linear map that is thrown away after the training, for
the clip without its texture, and at every token for the way from there to the object:
a shape is ragged unless all tokens draw it about one centre. What REPA (arXiv
2410.06940) does with the features of another model, the world does here with what it
has drawn.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from chorus_jax.training.params import Params
from chorus_jax.training.world.render import paint
from chorus_jax.training.world.scene import Scene

PART = "structure"
CELLS = 2  # along a latent's height and width
CONTRAST = 4.0  # over that of pixels in [0, 1]
NEAR = 0.2  # of the shorter side: a way is told in full within it, beyond it its side
PLACES = 3  # ways right and down, and the radius
CHANNELS = 3 * CELLS**2 + PLACES


def structure(
    scene: Scene, grid: tuple[int, int, int]
) -> Float32[np.ndarray, "f h w c"]:
    """The scene without texture at `CELLS` times the latents' resolution, centred; then
    the way from each latent to the object, the first one of two.

    Each latent frame has the mean of the frames that it stands for: the first one
    alone, then as many for each.
    """
    f, h, w = grid
    planes = CONTRAST * (in_latent_frames(paint(scene), f) - np.float32(0.5))
    y, x = planes.shape[2] // (CELLS * h), planes.shape[3] // (CELLS * w)
    cells = planes.reshape(f, 3, h, CELLS, y, w, CELLS, x).mean(axis=(4, 7))
    cells = cells.transpose(0, 2, 4, 1, 3, 5).reshape(f, h, w, -1)
    return np.concatenate([cells, places(scene, grid)], axis=-1)


def places(
    scene: Scene, grid: tuple[int, int, int]
) -> Float32[np.ndarray, "f h w places"]:
    """From the middle of each latent: 2 tanh of the way to the object's over `NEAR`,
    right and down; and the object's radius in sixteenths of the shorter side, less 2.5.
    """
    world, path, (f, h, w) = scene.world, scene.things[0].path, grid
    x, y, radius = (
        in_latent_frames(at, f)[:, None, None] / np.float32(world.unit)
        for at in (path.x, path.y, path.radius)
    )
    down = (np.arange(h, dtype=np.float32) + 0.5) * (world.height / world.unit / h)
    right = (np.arange(w, dtype=np.float32) + 0.5) * (world.width / world.unit / w)
    channels = (
        2 * np.tanh((x - right) / NEAR),
        2 * np.tanh((y - down[:, None]) / NEAR),
        16 * radius - 2.5,
    )
    return np.stack(
        [np.broadcast_to(channel, grid) for channel in channels], -1, dtype="f4"
    )


def in_latent_frames(
    frames: Float[np.ndarray, " f *r"], count: int
) -> Float[np.ndarray, " t *r"]:
    """The first frame, then the means of as many frames for each latent frame."""
    groups = frames[1:].reshape(count - 1, -1, *frames.shape[1:]).mean(axis=1)
    return np.concatenate([frames[:1], groups])


def initial_reader(width: int, patch: tuple[int, int, int]) -> Params:
    """The linear map from tokens of this width, which starts at zero."""
    size = int(np.prod(patch)) * CHANNELS
    kernel, bias = jnp.zeros((width, size)), jnp.zeros((size,))
    return {f"{PART}.kernel": kernel, f"{PART}.bias": bias}


def read(params: Params, tokens: Float[Array, "b n c"]) -> Float[Array, "b n p"]:
    """The prediction of the linear map from tokens, which are normalised as in a
    layer."""
    flat = jax.nn.standardize(tokens.astype(jnp.float32), axis=-1, epsilon=1e-6)
    return flat @ params[f"{PART}.kernel"] + params[f"{PART}.bias"][None, None]
