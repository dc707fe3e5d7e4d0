"""Choices inside a jitted program, without copies of what is not chosen."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

T = TypeVar("T")


def when(wanted: Bool[Array, ""], change: Callable[[T], T], value: T) -> T:
    """`change(value)` if wanted, else the value.

    A loop of one turn or none: it changes the value in place, where a conditional would
    copy whatever passes through it unchanged.
    """
    return jax.lax.fori_loop(0, wanted.astype(jnp.int32), lambda _, x: change(x), value)


def select(on: Bool[Array, " b"], new: T, old: T) -> T:
    """The rows of `new` that are `on`, else those of `old`.

    Arrays may have several rows for each of these: those of all requests in one
    guidance branch, then in the next.
    """

    def leaf(new: Array, old: Array) -> Array:
        rows = jnp.tile(on, new.shape[0] // len(on))
        return jnp.where(rows.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    return jax.tree.map(leaf, new, old)


def zeros(shapes: Any) -> Any:
    """Zeros of these shapes."""
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
