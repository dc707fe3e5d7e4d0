"""Measures of change over rows of a pass, for caches that look at data."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

TINY = 1e-9  # a size of 0, before the first step


def size(x: Any) -> Float[Array, " r"]:
    """The mean magnitude of each row over all arrays of a pytree."""
    arrays = jax.tree.leaves(x)
    total, count = jnp.zeros(len(arrays[0]), jnp.float32), 0
    for array in arrays:
        magnitudes = jnp.abs(array.astype(jnp.float32))
        total = total + magnitudes.reshape(len(array), -1).sum(axis=1)
        count += array[0].size
    return total / count


def distance(new: Any, old: Any) -> Float[Array, " r"]:
    """The mean magnitude of the difference of each row."""
    wide = lambda x: x.astype(jnp.float32)
    return size(jax.tree.map(lambda x, y: wide(x) - wide(y), new, old))


def relative(new: Any, old: Any) -> Float[Array, " r"]:
    """The distance of each row over the magnitude of the older one."""
    return distance(new, old) / jnp.maximum(size(old), TINY)


def forced(i: Int[Array, " r"], steps: int, first: int, last: int) -> Bool[Array, " r"]:
    """Whether each row is at one of the first or last steps of a run of so many."""
    return (i < first) | (i >= steps - last)


def check_threshold(threshold: float, first: int, last: int) -> None:
    """ValueError for a threshold below 0 or not finite, or negative forced steps."""
    if not 0 <= threshold < float("inf") or min(first, last) < 0:
        raise ValueError(
            "expected a threshold of 0 or more and 0 or more forced steps, got "
            f"threshold {threshold}, first {first}, last {last}"
        )
