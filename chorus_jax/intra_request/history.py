"""The last computed values of a step cache, and weighted sums of them.

Forecasts that are linear in the values (Taylor series, Hermite polynomials, least
squares over a basis) are a single weighted sum, whose weights depend on the step
numbers only.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.nets.control import select, when, zeros

NONE = -1  # the step number of a missing value


class History(NamedTuple):
    """Values of the last computed steps, newest first.

    Attributes:
        values: one pytree of arrays per step; their rows are those of the forecast
            value.
        steps: the step of each row's values, `NONE` where a value is missing.
    """

    values: tuple[Any, ...]
    steps: Int[Array, "r k"]

    @classmethod
    def empty(cls, shapes: Any, depth: int) -> "History":
        """A history without values, with room for `depth` values of these shapes."""
        rows = jax.tree.leaves(shapes)[0].shape[0]
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

        def total(*values: Array) -> Array:
            shape = (-1, *(1,) * (values[0].ndim - 1))
            parts = [
                weights[:, j].reshape(shape) * value.astype(jnp.float32)
                for j, value in enumerate(values)
            ]
            return sum(parts[1:], parts[0]).astype(values[0].dtype)

        return jax.tree.map(total, *self.values)
