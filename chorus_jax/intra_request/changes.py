"""Measures of how much each row changes, for step caches that decide from data."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward

TINY = 1e-9  # least denominator: sizes are 0 before the first step


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
    """The mean magnitude of the difference of two pytrees, per row."""
    wide = lambda x: x.astype(jnp.float32)
    return size(jax.tree.map(lambda x, y: wide(x) - wide(y), new, old))


def relative(new: Any, old: Any) -> Float[Array, " r"]:
    """The relative change of each row: its distance over the old value's mean
    magnitude."""
    return distance(new, old) / jnp.maximum(size(old), TINY)


def forced(i: Int[Array, " r"], steps: int, first: int, last: int) -> Bool[Array, " r"]:
    """Whether each row's step `i` is among the `first` or the `last` steps of a run of
    `steps` steps."""
    return (i < first) | (i >= steps - last)


def all_branches(
    forward: Forward, computed: Bool[Array, " r"], i: Int[Array, " b"]
) -> Bool[Array, " r"]:
    """True for all rows (guidance branches) of a request if any of them is True.

    The rest of the pass runs for all rows or for none, and guidance amplifies the
    difference between a branch that was computed and one that was forecast.
    """
    return forward.rows(computed.reshape(-1, len(i)).any(axis=0))


def check_threshold(threshold: float, first: int, last: int) -> None:
    """Raises a ValueError for a threshold that is negative or not finite, or negative
    numbers of forced steps."""
    if not 0 <= threshold < float("inf") or min(first, last) < 0:
        raise ValueError(
            "expected a threshold of 0 or more and 0 or more forced steps, got "
            f"threshold {threshold}, first {first}, last {last}"
        )
