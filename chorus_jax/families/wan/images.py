"""Images as Wan's image-to-video transformers read them: latents, mask, tokens.

Beside the channels of the noisy latents stand a mask of which frames are given, and the
latents of a clip of the given frames and grey.

Source: Wan-Video/Wan2.1, wan/image2video.py and first_last_frame2video.py; diffusers'
WanImageToVideoPipeline, whose filter for the clip this is.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32
from PIL.Image import Resampling

from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.media.inputs import InputMedia, resized
from chorus_jax.nets.clip_image import CLIPImageEncoder
from chorus_jax.request import Request


class Images(NamedTuple):
    """The images of requests as all steps read them.

    Attributes:
        channels: of the mask and of the given frames' latents; None in models that
            read none.
        tokens: of the image tower; None in models without.
    """

    channels: Float[Array, "b f h w c"] | None = None
    tokens: Float[Array, "b e c"] | None = None


def condition_channels(
    vae: WanVAE, requests: Sequence[Request]
) -> Float[Array, "b f h w c"]:
    """The mask and the latents of the given frames of each request."""
    rows = [channels(vae, request) for request in requests]
    return jnp.concatenate(rows)


def channels(vae: WanVAE, request: Request) -> Float[Array, "1 f h w c"]:
    """The mask and the latents of the given frames of a request."""
    assert request.inputs is not None
    clip = jnp.asarray(given_clip(request.inputs, request))[None]
    latents = encode(vae, clip)
    last = request.inputs.last_image is not None
    mask = given_mask(request.frames, vae.config.time_compression, last)
    b, f, h, w, _ = latents.shape
    wide = jnp.asarray(mask)[None, :, None, None]
    wide = jnp.broadcast_to(wide, (b, f, h, w, wide.shape[-1]))
    return jnp.concatenate([wide, latents], axis=-1)


@jax.jit
def encode(vae: WanVAE, clip: Float[Array, "b f h w 3"]) -> Float[Array, "b t y x c"]:
    """Normalised latents of a clip: the posterior's mean."""
    return vae.encode(clip)


def given_clip(inputs: InputMedia, request: Request) -> Float32[np.ndarray, "f h w 3"]:
    """The given frames at the video's size in [-1, 1], and grey (0) between them."""
    size = (request.height, request.width)
    clip = np.zeros((request.frames, *size, 3), np.float32)
    assert inputs.image is not None
    clip[0] = 2 * resized(inputs.image, *size, Resampling.LANCZOS) - 1
    if inputs.last_image is not None:
        clip[-1] = 2 * resized(inputs.last_image, *size, Resampling.LANCZOS) - 1
    return clip


def given_mask(frames: int, group: int, last: bool) -> Float32[np.ndarray, "f g"]:
    """1 for each given frame, by latent frame and its `group` frames.

    The first latent frame stands for one frame, which counts for all of its group. A
    worked case: 5 frames in groups of 4, the last one given, are [1, 1, 1, 1] and
    [0, 0, 0, 1].
    """
    flags = np.zeros(frames, np.float32)
    flags[0] = 1
    if last:
        flags[-1] = 1
    filled = np.concatenate([np.repeat(flags[:1], group), flags[1:]])
    return filled.reshape(-1, group)


def picture_tokens(
    tower: CLIPImageEncoder, requests: Sequence[Request]
) -> Float[Array, "b e c"]:
    """The image tower's tokens of the first frame of each request.

    The picture is squeezed to a square, as in the original code; diffusers' image
    processor may crop it instead.
    """
    side, rows = tower.config.side, []
    for request in requests:
        assert request.inputs is not None and request.inputs.image is not None
        rows.append(resized(request.inputs.image, side, side, Resampling.BICUBIC))
    return read(tower, jnp.asarray(np.stack(rows)))


@jax.jit
def read(
    tower: CLIPImageEncoder, pixels: Float[Array, "b h w 3"]
) -> Float[Array, "b e c"]:
    """The tokens of pictures in [0, 1]."""
    return tower(pixels)
