"""Choices inside a jitted program, without copies of what is not chosen."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

T = TypeVar("T")


def when(wanted: Bool[Array, ""], change: Callable[..., T], value: T, *reads: Any) -> T:
    """`change(value, *reads)` if wanted, else the value.

    A loop of one turn or none: it changes the value in place, where a conditional would
    copy whatever passes through it unchanged.

    Args:
        wanted: whether the change is made.
        change: what is computed.
        value: what is changed.
        reads: other arrays that the change is computed from. A compiler takes what does
            not depend on the value or on these out of the loop, and computes it whether
            it is wanted or not.
    """

    def turn(count: Array, value: T) -> T:
        tied, _ = jax.lax.optimization_barrier((reads, count))
        return change(value, *tied)

    return jax.lax.fori_loop(0, wanted.astype(jnp.int32), turn, value)


class PerLayer(NamedTuple):
    """Arrays of all layers in a state: layers first, then rows.

    Attributes:
        arrays: a pytree of them.
    """

    arrays: Any


def select(on: Bool[Array, " b"], new: T, old: T) -> T:
    """The rows of `new` that are `on`, else those of `old`.

    Arrays may have several rows for each of these: those of all requests in one
    guidance branch, then in the next. Rows come first, but for those of `PerLayer`.
    """

    def rows(axis: int, new: Array, old: Array) -> Array:
        wanted = jnp.tile(on, new.shape[axis] // len(on))
        shape = (*(1,) * axis, -1, *(1,) * (new.ndim - 1 - axis))
        return jnp.where(wanted.reshape(shape), new, old)

    def leaf(new: Any, old: Any) -> Any:
        axis = 1 if isinstance(new, PerLayer) else 0
        return jax.tree.map(partial(rows, axis), new, old)

    stacked = lambda x: isinstance(x, PerLayer)
    return jax.tree.map(leaf, new, old, is_leaf=stacked)


def zeros(shapes: Any) -> Any:
    """Zeros of these shapes."""
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
