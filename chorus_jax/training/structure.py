"""Structure targets: a clip without its texture, and the offsets to its object.

Nearly all of a transformer's error on a noisy clip is texture, which it cannot predict,
and the gradient of this error hides the shapes. So a linear map, which is dropped after
the training, also predicts from a middle layer the clip without its texture and, at
every token, the offset from there to the object: a shape is ragged unless all tokens
draw it around the same centre. REPA (arXiv 2410.06940) does this with the features of
another model; here the targets are known, since the world drew the clip.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from chorus_jax.training.params import Params
from chorus_jax.training.world.render import paint
from chorus_jax.training.world.scene import Scene

PART = "structure"
CELLS = 2  # cells along a latent's height and width
CONTRAST = 4.0  # factor of the contrast of pixels in [0, 1]
NEAR = 0.2  # shorter sides; of longer offsets, little more than the direction is kept
PLACES = 3  # channels: offsets right and down, and the radius
CHANNELS = 3 * CELLS**2 + PLACES


def structure(
    scene: Scene, grid: tuple[int, int, int]
) -> Float32[np.ndarray, "f h w c"]:
    """The structure targets of a scene, for every latent.

    The first channels are the scene without texture at `CELLS` times the latents'
    resolution, centred at 0; then follow the `places` of the object, or of the first of
    two objects. The targets of a latent frame are the mean over its video frames: the
    first frame alone, then equal groups.
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
    """The object's place relative to each latent, in `PLACES` channels.

    Two channels are 2 tanh(offset / `NEAR`) for the offsets, to the right and down,
    from the latent's middle to the object's middle. One is 16 radius - 2.5 for the
    object's radius. Lengths are fractions of the frame's shorter side.
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
    """Averages frames to latent frames: the first alone, then equal groups."""
    groups = frames[1:].reshape(count - 1, -1, *frames.shape[1:]).mean(axis=1)
    return np.concatenate([frames[:1], groups])


def initial_reader(width: int, patch: tuple[int, int, int]) -> Params:
    """The linear map from tokens to structure targets, which starts at zero."""
    size = int(np.prod(patch)) * CHANNELS
    kernel, bias = jnp.zeros((width, size)), jnp.zeros((size,))
    return {f"{PART}.kernel": kernel, f"{PART}.bias": bias}


def read(params: Params, tokens: Float[Array, "b n c"]) -> Float[Array, "b n p"]:
    """The structure targets that the linear map predicts from normalised tokens."""
    flat = jax.nn.standardize(tokens.astype(jnp.float32), axis=-1, epsilon=1e-6)
    return flat @ params[f"{PART}.kernel"] + params[f"{PART}.bias"][None, None]
