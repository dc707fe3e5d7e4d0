"""Conditional updates inside a jitted program, without copies of unchanged arrays."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

T = TypeVar("T")


def when(wanted: Bool[Array, ""], change: Callable[..., T], value: T, *reads: Any) -> T:
    """Returns `change(value, *reads)` if wanted, else the value.

    This is a loop of one iteration or none: it changes the value in place, whereas a
    conditional would copy all arrays that pass through it unchanged.

    Args:
        wanted: whether the change is made.
        change: the function that changes the value.
        value: the pytree that is changed.
        reads: other arrays that the change is computed from. Pass all of them here: the
            compiler moves computations that depend on neither `value` nor `reads` out
            of the loop, and runs them even if the change is not wanted.
    """

    def turn(count: Array, value: T) -> T:
        tied, _ = jax.lax.optimization_barrier((reads, count))
        return change(value, *tied)

    return jax.lax.fori_loop(0, wanted.astype(jnp.int32), turn, value)


class PerLayer(NamedTuple):
    """Marks arrays of a state whose first axis is layers and whose second is rows.

    Attributes:
        arrays: a pytree of such arrays.
    """

    arrays: Any


def select(on: Bool[Array, " b"], new: T, old: T) -> T:
    """Takes the rows of `new` where `on` is True, and the other rows from `old`.

    Rows are the first axis of an array, or the second within `PerLayer`. An array may
    have a multiple of b rows: all requests in one guidance branch, then all requests in
    the next.
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
    """Zeros with the shapes and dtypes of a pytree of arrays or shapes."""
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
