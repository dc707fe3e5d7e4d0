"""Choices inside a jitted program, without copies of what is not chosen."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array, Bool

T = TypeVar("T")


def when(wanted: Bool[Array, ""], change: Callable[[T], T], value: T) -> T:
    """`change(value)` if wanted, else the value.

    A loop of one turn or none: it changes the value in place, where a conditional would
    copy whatever passes through it unchanged. What `change` closes over is tied to the
    loop's counter: XLA moves out of a loop what depends on nothing that the loop
    changes, and would compute a whole pass whether it is wanted or not.
    """
    leaves, tree = jax.tree.flatten(value)

    def flat(*leaves: Any) -> list[Any]:
        return jax.tree.leaves(change(jax.tree.unflatten(tree, leaves)))

    traced = jax.make_jaxpr(flat)(*leaves)

    def body(turn: Any, leaves: list[Any]) -> list[Any]:
        _, consts = jax.lax.optimization_barrier((turn, traced.consts))
        return jaxpr_as_fun(ClosedJaxpr(traced.jaxpr, consts))(*leaves)

    leaves = jax.lax.fori_loop(0, wanted.astype(jnp.int32), body, leaves)
    return jax.tree.unflatten(tree, leaves)


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
