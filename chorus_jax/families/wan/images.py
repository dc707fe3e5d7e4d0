"""Encodes images for Wan's image-to-video transformers: latents, mask, tokens.

The channels of the noisy latents are followed by a mask of the given frames, and by the
latents of a clip that has the given frames and grey elsewhere. TI2V-5B reads no such
channels: its first latent frame is the image's.

Source: Wan-Video/Wan2.1, wan/image2video.py and first_last_frame2video.py; Wan2.2,
wan/textimage2video.py; diffusers' WanImageToVideoPipeline, whose resampling filter is
used for the clip.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, UInt8
from PIL.Image import Resampling

from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.media.inputs import InputMedia, Pixels, covering, resized
from chorus_jax.nets.clip_image import CLIPImageEncoder
from chorus_jax.request import Request


class Images(NamedTuple):
    """The encoded images of requests, which all steps read.

    Attributes:
        channels: the mask and the given frames' latents; None in models that read none.
        tokens: the image encoder's tokens; None in models without one.
    """

    channels: Float[Array, "b f h w c"] | None = None
    tokens: Float[Array, "b e c"] | None = None


def channels(vae: WanVAE, request: Request) -> Float[Array, "f h w c"]:
    """The mask and the latents of the given frames of a request."""
    assert request.inputs is not None
    latents = encode(vae, jnp.asarray(given_clip(request.inputs, request))[None])[0]
    last = request.inputs.last_image is not None
    mask = given_mask(request.frames, vae.config.time_compression, last)
    f, h, w, _ = latents.shape
    wide = jnp.asarray(mask)[:, None, None]
    wide = jnp.broadcast_to(wide, (f, h, w, wide.shape[-1]))
    return jnp.concatenate([wide, latents], axis=-1)


@jax.jit
def encode(vae: WanVAE, clip: Float[Array, "b f h w 3"]) -> Float[Array, "b t y x c"]:
    """The normalised latents (the posterior's mean) of a clip."""
    return vae.encode(clip)


def given_clip(inputs: InputMedia, request: Request) -> Float32[np.ndarray, "f h w 3"]:
    """The given frames at the video's size in [-1, 1], and grey (0) between them.

    The first one is resized to that size without cropping, the last one cropped (see
    `last_frame`).
    """
    size = (request.height, request.width)
    clip = np.zeros((request.frames, *size, 3), np.float32)
    assert inputs.image is not None
    clip[0] = 2 * resized(inputs.image, *size, Resampling.LANCZOS) - 1
    if inputs.last_image is not None:
        clip[-1] = signed(last_frame(inputs.last_image, request))
    return clip


def last_frame(image: Pixels, request: Request) -> UInt8[np.ndarray, "y x 3"]:
    """The last image scaled to cover the video's size, and cropped."""
    return covering(image, request.height, request.width, Resampling.LANCZOS)


def first_latents(vae: WanVAE, request: Request) -> Float[Array, "1 h w c"]:
    """The first latent frame of a TI2V-5B request: its image, cropped to the video's
    aspect ratio and encoded."""
    assert request.inputs is not None and request.inputs.image is not None
    size = (request.height, request.width)
    image = covering(request.inputs.image, *size, Resampling.LANCZOS)
    return encode(vae, jnp.asarray(signed(image))[None, None])[0]


def video_latents(vae: WanVAE, request: Request) -> Float[Array, "f h w c"]:
    """The latents of the video that a request begins from, resized without cropping."""
    assert request.inputs is not None and request.inputs.video is not None
    size, frames = (request.height, request.width), request.inputs.video.frames
    clip = [
        2 * resized(frame, *size, Resampling.LANCZOS) - 1
        for frame in frames[: request.frames]
    ]
    return encode(vae, jnp.asarray(np.stack(clip))[None])[0]


def signed(image: Pixels) -> Float32[np.ndarray, "h w 3"]:
    """Pixels in [-1, 1]."""
    return 2 * (np.asarray(image, np.float32) / 255) - 1


def given_mask(frames: int, group: int, last: bool) -> Float32[np.ndarray, "f g"]:
    """The mask of given frames, [latent frames, frames per latent frame]: 1 where
    given.

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


def picture_tokens(tower: CLIPImageEncoder, request: Request) -> Float[Array, "e c"]:
    """The image encoder's tokens of a request's first frame, followed by those of its
    last one if it is given.

    Pictures are resized to a square without cropping, as in the original code;
    diffusers' image processor may crop them instead.
    """
    inputs, side = request.inputs, tower.config.side
    assert inputs is not None and inputs.image is not None
    pictures = [inputs.image]
    if inputs.last_image is not None:
        pictures.append(last_frame(inputs.last_image, request))
    rows = [resized(picture, side, side, Resampling.BICUBIC) for picture in pictures]
    tokens = read(tower, jnp.asarray(np.stack(rows)))
    return tokens.reshape(-1, tokens.shape[-1])


@jax.jit
def read(
    tower: CLIPImageEncoder, pixels: Float[Array, "b h w 3"]
) -> Float[Array, "b e c"]:
    """The image encoder's tokens of pictures in [0, 1]."""
    return tower(pixels)
