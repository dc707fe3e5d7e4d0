"""The last computed values of a step cache, and weighted sums of them.

Forecasts that are linear in the values (Taylor series, Hermite polynomials, least
squares over a basis) are a single weighted sum, whose weights depend on the step
numbers only.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.nets.control import PerLayer, select, when, zeros

NONE = -1  # the step number of a missing value


class History(NamedTuple):
    """Values of the last computed steps, newest first.

    Attributes:
        values: one pytree of arrays per step. Each array has one row per row of the
            forecast value, on its first axis, or on its second within `PerLayer`.
        steps: the step of each row's values, `NONE` where a value is missing.
    """

    values: tuple[Any, ...]
    steps: Int[Array, "r k"]

    @classmethod
    def empty(cls, shapes: Any, depth: int) -> "History":
        """A history without values, with room for `depth` values of these shapes."""
        axis, first = by_rows(shapes)[0]
        rows = first.shape[axis]
        values = tuple(zeros(shapes) for _ in range(depth))
        return cls(values, jnp.full((rows, depth), NONE, jnp.int32))

    @property
    def known(self) -> Bool[Array, " r"]:
        """Whether each row has a value."""
        return self.steps[:, 0] > NONE

    def pushed(self, on: Bool[Array, " r"], i: Int[Array, " r"], value: Any) -> Any:
        """The history with the value of step `i` added in the rows that are `on`; their
        oldest value is dropped."""

        def push(before: History) -> History:
            steps = jnp.concatenate([i[:, None], before.steps[:, :-1]], axis=1)
            after = History((value, *before.values[:-1]), steps)
            return select(on, after, before)

        return when(on.any(), push, self)

    def combined(self, weights: Float[Array, "r k"]) -> Any:
        """The weighted sum of the values: computed in float32, returned in their
        dtype."""
        narrow = lambda x, value: x.astype(value.dtype)
        return jax.tree.map(narrow, self.summed(weights), self.values[0])

    def norm(self, weights: Float[Array, "r k"]) -> Float[Array, " r"]:
        """The Euclidean norm of the weighted sum of the values, per row."""
        total = jnp.zeros(len(weights), jnp.float32)
        for axis, array in by_rows(self.summed(weights)):
            others = tuple(i for i in range(array.ndim) if i != axis)
            total = total + jnp.square(array).sum(axis=others)
        return jnp.sqrt(total)

    def summed(self, weights: Float[Array, "r k"]) -> Any:
        """The weighted sum of the values in float32."""
        wide = weights.astype(jnp.float32)

        def total(*values: tuple[int, Any]) -> Array:
            axis, first = values[0]
            shape = (*(1,) * axis, -1, *(1,) * (first.ndim - 1 - axis))
            parts = [
                wide[:, j].reshape(shape) * value.astype(jnp.float32)
                for j, (_, value) in enumerate(values)
            ]
            return sum(parts[1:], parts[0])

        arrays = [total(*leaf) for leaf in zip(*map(by_rows, self.values))]
        return jax.tree.unflatten(jax.tree.structure(self.values[0]), arrays)


def due(
    table: Bool[np.ndarray, "steps ..."], last: Int[Array, " r"], i: Int[Array, " r"]
) -> Bool[Array, "r ..."]:
    """Whether a table names a step after `last`, up to and including step `i`.

    Where passes run step by step, this is the table at step `i`. A cache that is run in
    some steps only (see `mixture`) so makes up for what it missed.
    """
    counts = np.concatenate([np.zeros_like(table[:1], int), table.cumsum(axis=0)])
    totals = jnp.array(counts)
    return totals[i + 1] > totals[last + 1]


def by_rows(value: Any) -> list[tuple[int, Any]]:
    """The arrays (or shapes) of a value, each with the number of its axis of rows."""
    stacked = lambda x: isinstance(x, PerLayer)
    return [
        (int(stacked(part)), array)
        for part in jax.tree.leaves(value, is_leaf=stacked)
        for array in jax.tree.leaves(part)
    ]
