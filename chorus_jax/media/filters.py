"""Gaussian low-pass over the last two axes, as two matrix products."""

import functools

import numpy as np
from jaxtyping import Float32


def low_pass(
    planes: Float32[np.ndarray, "*batch height width"], sigma: float
) -> Float32[np.ndarray, "*batch height width"]:
    """Gaussian blur over the last two axes; `sigma` is in pixels.

    At the borders, the weights inside the frame are rescaled to a sum of 1.
    """
    height, width = planes.shape[-2:]
    across = planes.reshape(-1, width) @ _weights(width, sigma).T
    return _weights(height, sigma) @ across.reshape(planes.shape)


@functools.lru_cache(maxsize=64)
def _weights(length: int, sigma: float) -> Float32[np.ndarray, "length length"]:
    at = np.arange(length)
    weights = np.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
