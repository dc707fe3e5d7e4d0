"""Videos as pixels, and as planes of floats to compute with."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Shaped, UInt8

Video = Shaped[np.ndarray | jax.Array, "..."]  # [f h w 3], checked by `to_planes`
Planes = Float32[np.ndarray, "f 3 height width"]


def to_planes(video: Video) -> Planes:
    """A video as planes, channels first, in [0, 1]. Raises a ValueError for other
    arrays."""
    if video.ndim != 4 or video.shape[-1] != 3 or len(video) < 5:
        raise ValueError(
            "expected a video as [frames, height, width, 3] of at least 5 frames, got "
            f"shape {video.shape}"
        )
    frames = np.asarray(video)
    if frames.dtype == np.uint8:
        planes = frames.astype(np.float32) / np.float32(255)
    elif not jnp.issubdtype(frames.dtype, jnp.floating):
        raise ValueError(
            f"frames are uint8, or floats in [-1, 1]; got {frames.dtype}, convert first"
        )
    elif not np.isfinite(frames).all():
        raise ValueError(
            "the video holds NaN or infinity: the numbers went wrong before it was read"
        )
    else:
        planes = (np.clip(frames.astype(np.float32), -1, 1) + 1) / np.float32(2)
    return np.ascontiguousarray(planes.transpose(0, 3, 1, 2))


def to_pixels(planes: Planes) -> UInt8[np.ndarray, "f height width 3"]:
    """Planes in [0, 1] as a video of eight bits, channels last."""
    levels = np.clip(planes * np.float32(255) + np.float32(0.5), 0, 255)
    return np.ascontiguousarray(levels.astype(np.uint8).transpose(0, 2, 3, 1))
