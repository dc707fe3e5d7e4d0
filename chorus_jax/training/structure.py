"""What a clip shows apart from its texture: a second target for the transformer.

Nearly all of what a transformer has to foretell of a noisy clip is texture, which it
cannot foretell, and in its error's gradient the shapes are lost. So one of its middle
layers is also asked, through a linear map that is thrown away after the training, for
the clip without its texture: what REPA (arXiv 2410.06940) does with the features of
another model, the world does here with what it has drawn.
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
CHANNELS = 3 * CELLS**2
CONTRAST = 4.0  # over that of pixels in [0, 1]


def structure(
    scene: Scene, grid: tuple[int, int, int]
) -> Float32[np.ndarray, "f h w c"]:
    """The scene without texture at `CELLS` times the latents' resolution, centred.

    Each latent frame has the mean of the frames that it stands for: the first one
    alone, then as many for each.
    """
    planes = CONTRAST * (paint(scene) - np.float32(0.5))
    f, h, w = grid
    rest = planes[1:].reshape(f - 1, -1, *planes.shape[1:]).mean(axis=1)
    frames = np.concatenate([planes[:1], rest])
    y, x = planes.shape[2] // (CELLS * h), planes.shape[3] // (CELLS * w)
    cells = frames.reshape(f, 3, h, CELLS, y, w, CELLS, x).mean(axis=(4, 7))
    return cells.transpose(0, 2, 4, 1, 3, 5).reshape(f, h, w, CHANNELS)


def initial_reader(width: int, patch: tuple[int, int, int]) -> Params:
    """The linear map from tokens of this width, which starts at zero."""
    size = int(np.prod(patch)) * CHANNELS
    kernel, bias = jnp.zeros((width, size)), jnp.zeros((size,))
    return {f"{PART}.kernel": kernel, f"{PART}.bias": bias}


def read(params: Params, tokens: Float[Array, "b n c"]) -> Float[Array, "b n p"]:
    """What the linear map reads off the tokens, normalised as a layer does."""
    flat = jax.nn.standardize(tokens.astype(jnp.float32), axis=-1, epsilon=1e-6)
    return flat @ params[f"{PART}.kernel"] + params[f"{PART}.bias"][None, None]
