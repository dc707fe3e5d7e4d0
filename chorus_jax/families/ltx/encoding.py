"""Encodes given frames, and inserts their latents into a video's initial noise.

Source: Lightricks/LTX-Video, ltx_video/inference.py
(load_image_to_tensor_with_resize_and_crop); diffusers' LTXConditionPipeline.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Float32, UInt8
from PIL.Image import Resampling

from chorus_jax.families.forward import Latents
from chorus_jax.families.ltx_shared.encoding import encode
from chorus_jax.families.ltx_shared.given_frames import (
    GIVEN,
    VIDEO,
    FrameLayout,
    keyframes,
)
from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.media.input_video import InputVideo
from chorus_jax.media.inputs import covering
from chorus_jax.request import Request


def with_given(
    noise: Latents,
    rows: Sequence[Sequence[Float[ArrayLike, "1 _ h w c"]]],
    layout: FrameLayout,
) -> Latents:
    """Initial noise with the latents of given frames mixed in by strength.

    Args:
        noise: the initial noise of a batch.
        rows: for each request the latents of its given frames and clips.
        layout: the layout of these, which is that of all requests.
    """
    video = noise[VIDEO] if isinstance(noise, dict) else noise
    items = [jnp.concatenate(latents) for latents in zip(*rows, strict=True)]
    extra, done = [], 0
    plane = video.shape[2] * video.shape[3]
    for item, first, last, at in layout.places:
        strength, latents = layout.items[item][2], items[item][:, first:last]
        if at is not None:
            here = slice(at, at + last - first)
            video = video.at[:, here].set(mixed(video[:, here], latents, strength))
            continue
        tokens = latents.reshape(len(latents), -1, latents.shape[-1])
        here = slice(done, done + (last - first) * plane)
        extra.append(mixed(noise[GIVEN][:, here], tokens, strength))
        done = here.stop
    if not extra:
        return video
    return {VIDEO: video, GIVEN: jnp.concatenate(extra, axis=1)}


def mixed(noise: Array, latents: Array, strength: float) -> Array:
    """Latents and noise mixed: `strength` is the share of the latents, which are kept
    bit for bit at 1."""
    return (1 - strength) * noise + strength * latents


def encoded(vae: LTXVAE, request: Request, item: int) -> Float[Array, "1 f h w c"]:
    """The normalised latents of a request's given frame or clip with index `item` (see
    `keyframes`): the posterior's mean."""
    clip = keyframes(request.inputs, request.frames)[item].frames
    frames = fitted(clip, request.height, request.width)
    return encode(vae, jnp.asarray(frames)[None])


def video_latents(
    vae: LTXVAE, video: InputVideo, request: Request
) -> Float[Array, "1 f h w c"]:
    """The normalised latents of the video that a request begins from."""
    clip = video.frames[: request.frames]
    frames = fitted(clip, request.height, request.width)
    return encode(vae, jnp.asarray(frames)[None])


def fitted(
    clip: UInt8[np.ndarray, "f y x 3"], height: int, width: int
) -> Float32[np.ndarray, "f h w 3"]:
    """The frames in [-1, 1], scaled to cover the video's size and cropped at the
    centre."""
    frames = [covering(frame, height, width, Resampling.LANCZOS) for frame in clip]
    return 2 * (np.stack(frames).astype(np.float32) / 255) - 1
