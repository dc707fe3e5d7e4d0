"""Rotary positions of LTX-Video, in seconds and pixels, for all heads together.

The angles reach 10000 * pi / 2, where the rounding of float32 changes the cosines. The
published weights were trained and are run with float32's rounding, so its operations
are repeated here one by one.

Source: Lightricks/LTX-Video, ltx_video/models/transformers/transformer3d.py; diffusers,
models/transformers/transformer_ltx.py (LTXVideoRotaryPosEmbed).
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from chorus_jax.families.ltx_shared.given_frames import FrameLayout
from chorus_jax.nets.tokens import Size

PERIOD = 10000.0
EXTENT = (20, 2048, 2048)  # seconds, pixels, pixels


@dataclass(frozen=True)
class PixelScale:
    """The size of a step along the latent grid, in frames and pixels of the video.

    Attributes:
        frames: video frames per latent frame; the first latent frame stands for one
            frame.
        pixels: pixels per latent pixel, in height and in width.
        fps: frames per second.
        causal: whether the first latent frame is placed at the time of its only frame.
    """

    frames: int
    pixels: int
    fps: float
    causal: bool = False

    def places(self, grid: Size, first: int = 0) -> Float32[np.ndarray, "n 3"]:
        """Seconds, rows and columns of all tokens, divided by `EXTENT`; `first` is the
        video frame at which the grid begins."""
        one, (f, h, w) = np.float32, grid
        steps = np.arange(f, dtype=one)
        if self.causal:
            frames = np.maximum(self.frames * steps + 1 - self.frames, 0)
            seconds = (frames + one(first)) * one(1 / self.fps)
        elif first:
            seconds = (self.frames * steps + one(first)) * one(1 / self.fps)
        else:
            seconds = steps * one(self.frames / self.fps)
        sides = (np.arange(size, dtype=one) * one(self.pixels) for size in (h, w))
        shares = [x / one(end) for x, end in zip((seconds, *sides), EXTENT)]
        return np.stack(np.meshgrid(*shares, indexing="ij"), axis=-1).reshape(-1, 3)


def places_of(
    layout: FrameLayout, grid: Size, scale: PixelScale
) -> Float32[np.ndarray, "n 3"]:
    """`PixelScale.places` of every token; tokens of given frames outside the video's
    grid come first."""
    extra = [scale.places(size, first) for size, first, _ in layout.beside_sizes(grid)]
    return np.concatenate([*extra, scale.places(grid)])


def frequencies(count: int) -> Float32[np.ndarray, " k"]:
    """`count` frequencies in a geometric series from pi / 2 to `PERIOD` times that."""
    one = np.float32
    if count == 1:
        return np.array([np.pi / 2], one)
    # From both ends to the middle with one rounding, as torch.linspace does.
    step, place = np.float64(one(1) / one(count - 1)), np.arange(count)
    rising, falling = place * step, 1 - (count - 1 - place) * step
    exponents = np.where(place < count // 2, rising, falling).astype(one)
    powers = np.power(PERIOD, exponents.astype(np.float64)).astype(one)
    return powers * one(np.pi) / one(2)


def position_table(
    grid: Size, width: int, scale: PixelScale, places: np.ndarray | None = None
) -> Float[Array, "2 n r"]:
    """Cosines and sines of every token for the pairs of all heads side by side.

    Pair 3k + axis rotates with frequency k along that axis. If `width` is no multiple
    of 6, the remaining channels come first and do not rotate.

    Args:
        grid: tokens along frames, height and width.
        width: the width of all heads, 2 r.
        scale: converts token indices to seconds and pixels.
        places: the positions of the tokens (`PixelScale.places`); None for those of the
            grid.
    """
    places = scale.places(grid) if places is None else places
    turns = places * np.float32(2) - np.float32(1)
    rates = frequencies(width // 6)
    angles = (rates[None, :, None] * turns[:, None, :]).reshape(len(turns), -1)
    still = np.zeros((len(turns), width % 6 // 2), np.float32)
    padded_angles = np.concatenate([still, angles], axis=-1).astype(np.float64)
    return jnp.asarray(
        np.stack([np.cos(padded_angles), np.sin(padded_angles)]), jnp.float32
    )
