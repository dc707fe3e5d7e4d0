"""Rotary positions of LTX-2: the middle of each token, in seconds and pixels.

Angles reach 10000 * pi / 2, where the rounding of float32 changes the cosines. So the
makers' operations are repeated here one by one, in float32 except for the frequencies.

Source: Lightricks/LTX-2, packages/ltx-core; diffusers,
models/transformers/transformer_ltx2.py (LTX2AudioVideoRotaryPosEmbed).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from chorus_jax.nets.tokens import Size

PERIOD = 10000.0


@dataclass(frozen=True)
class AudioVideoScale:
    """The size of a step along the latent grids.

    Attributes:
        frames: video frames per latent frame; the first latent frame stands for one
            frame.
        pixels: pixels per latent pixel, in height and in width.
        fps: frames per second.
        mel_frames: spectrogram frames per audio token; the first token stands for one.
        hop: samples per spectrogram frame.
        sample_rate: samples per second.
    """

    frames: int = 8
    pixels: int = 32
    fps: float = 24.0
    mel_frames: int = 4
    hop: int = 160
    sample_rate: int = 16000

    def video(self, grid: Size) -> Float32[np.ndarray, "n 3"]:
        """Seconds, rows and columns of the middle of each video token."""
        times = ends(grid[0], self.frames) / np.float32(self.fps)
        axes = [middles(times)]
        for size in grid[1:]:
            axes.append(middles(np.arange(size + 1, dtype=np.float32) * self.pixels))
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def beside(
        self, size: Size, first: int, single: bool
    ) -> Float32[np.ndarray, "n 3"]:
        """Positions of the tokens of given frames, which are appended to the video's.

        Args:
            size: the number of these tokens along frames, height and width.
            first: the frame of the video at which they begin.
            single: whether they stand for a single picture.
        """
        starts = np.arange(size[0], dtype=np.float32) * self.frames + first
        lasting = np.float32(1 if single else self.frames)
        times = (x / np.float32(self.fps) for x in (starts, starts + lasting))
        seconds = sum(times) / np.float32(2)
        sides = (np.arange(x + 1, dtype=np.float32) * self.pixels for x in size[1:])
        axes = [seconds, *map(middles, sides)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def audio(self, tokens: int) -> Float32[np.ndarray, "n 1"]:
        """Seconds of the middle of each audio token."""
        samples = ends(tokens, self.mel_frames) * np.float32(self.hop)
        return middles(samples / np.float32(self.sample_rate))[:, None]

    @property
    def audio_rate(self) -> float:
        """Audio tokens per second."""
        return self.sample_rate / self.hop / self.mel_frames


def ends(count: int, group: int) -> Float32[np.ndarray, " n"]:
    """The first frame of each group, then the end of the last group; the first group
    has one frame."""
    first = np.arange(count + 1, dtype=np.float32) * np.float32(group)
    return np.maximum(first + np.float32(1 - group), np.float32(0))


def middles(ends: Float32[np.ndarray, " n"]) -> Float32[np.ndarray, " m"]:
    """The middle between each number and the next."""
    return (ends[:-1] + ends[1:]) / np.float32(2)


def position_table(
    places: Float32[np.ndarray, "n axes"], extent: Sequence[int], width: int
) -> Float[Array, "2 n r"]:
    """Cosines and sines of every token for the pairs of all heads side by side.

    Pair k of an axis rotates with frequency k; pairs are ordered by frequency, then
    axis. If `width` is no multiple of twice the number of axes, the remaining channels
    come first and do not rotate.

    Args:
        places: the position of each token along each axis.
        extent: the length that positions are divided by, per axis.
        width: the width of all heads, 2 r.
    """
    shares = places / np.asarray(extent, np.float32)
    turns = shares * np.float32(2) - np.float32(1)
    count = width // (2 * places.shape[1])
    rates = np.power(PERIOD, np.linspace(0, 1, count)) * np.pi / 2
    angles = turns[:, None, :] * rates.astype(np.float32)[None, :, None]
    angles = angles.reshape(len(places), -1)
    still = np.zeros((len(places), width // 2 - angles.shape[1]), np.float32)
    # The cosine of a float32 angle, rounded once.
    padded = np.concatenate([still, angles], axis=-1).astype(np.float64)
    return jnp.asarray(np.stack([np.cos(padded), np.sin(padded)]), jnp.float32)
