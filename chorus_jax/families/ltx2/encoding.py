"""Encodes given frames to latents at their positions among a video's tokens.

Source: Lightricks/LTX-2, packages/ltx-pipelines, ltx_pipelines/utils/media_io.py and
helpers.py; diffusers' LTX2ConditionPipeline.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from chorus_jax.families.ltx_shared.encoding import encode
from chorus_jax.families.ltx_shared.given_frames import FrameLayout, keyframes
from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.media.keyframes import Keyframe
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request


def clean_tokens(
    vae: LTXVAE, requests: Sequence[Request], layout: FrameLayout, grid: Size
) -> Float32[Array, "b n c"]:
    """The latents of given frames as tokens, zero where no frame is given. The requests
    have one layout; tokens outside the video's grid come first."""
    rows = [encoded(vae, request) for request in requests]
    items = [jnp.concatenate(latents) for latents in zip(*rows, strict=True)]
    video = jnp.zeros((len(rows), *grid, items[0].shape[-1]), jnp.float32)
    extra = []
    for item, first, last, at in layout.places:
        latents = items[item][:, first:last]
        if at is None:
            extra.append(packed(latents))
        else:
            video = video.at[:, at : at + last - first].set(latents)
    return jnp.concatenate([*extra, packed(video)], axis=1)


def packed(latents: Float[Array, "b f h w c"]) -> Float[Array, "b n c"]:
    """Latents as tokens."""
    return latents.reshape(len(latents), -1, latents.shape[-1])


def encoded(vae: LTXVAE, request: Request) -> list[Float[Array, "1 f h w c"]]:
    """The normalised latents of each given frame or clip."""
    size = (request.height, request.width)
    return [
        encode(vae, covering(keyframe, *size)[None])
        for keyframe in keyframes(request.inputs, request.frames)
    ]


def covering(keyframe: Keyframe, height: int, width: int) -> Float32[Array, "f h w 3"]:
    """The frames in [-1, 1], scaled to cover the video's size and cropped at the
    centre. As in the makers' code, shrinking applies no antialiasing."""
    frames = keyframe.frames.astype(np.float32)
    count, h, w, _ = frames.shape
    scale = max(height / h, width / w)
    size = (math.ceil(h * scale), math.ceil(w * scale))
    shape = (count, *size, 3)
    larger = jax.image.resize(frames, shape, "linear", antialias=False)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    middle = larger[:, top : top + height, left : left + width]
    return middle / np.float32(127.5) - 1
