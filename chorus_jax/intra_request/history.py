"""The last computed values of a step cache, and weighted sums of them.

Forecasts that are linear in the values (Taylor's series, Hermite polynomials, least
squares over a basis) are one weighted sum each; their weights follow from the numbers
of the steps alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.nets.control import select, when, zeros

NONE = -1  # the step of a value that is not there


class History(NamedTuple):
    """Values of the last computed steps, the newest first.

    Attributes:
        values: pytrees of arrays, a row per row of what is forecast.
        steps: the step of each value, `NONE` where there is none.
    """

    values: tuple[Any, ...]
    steps: Int[Array, "r k"]

    @classmethod
    def empty(cls, shapes: Any, depth: int) -> "History":
        """Room for `depth` values of these shapes, without any."""
        rows = jax.tree.leaves(shapes)[0].shape[0]
        values = tuple(zeros(shapes) for _ in range(depth))
        return cls(values, jnp.full((rows, depth), NONE, jnp.int32))

    @property
    def known(self) -> Bool[Array, " r"]:
        """Whether there is a value in each row."""
        return self.steps[:, 0] > NONE

    def pushed(self, on: Bool[Array, " r"], i: Int[Array, " r"], value: Any) -> Any:
        """With the values of step `i` in the rows that are `on`; the oldest go."""

        def push(before: History) -> History:
            steps = jnp.concatenate([i[:, None], before.steps[:, :-1]], axis=1)
            after = History((value, *before.values[:-1]), steps)
            return select(on, after, before)

        return when(on.any(), push, self)

    def combined(self, weights: Float[Array, "r k"]) -> Any:
        """The sum of the values with these weights, in their dtype."""

        def total(*values: Array) -> Array:
            shape = (-1, *(1,) * (values[0].ndim - 1))
            parts = [
                weights[:, j].reshape(shape) * value.astype(jnp.float32)
                for j, value in enumerate(values)
            ]
            return sum(parts[1:], parts[0]).astype(values[0].dtype)

        return jax.tree.map(total, *self.values)
