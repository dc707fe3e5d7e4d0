"""HiCache: a Taylor series with scaled Hermite polynomials instead of powers.

arXiv 2508.16984. The power x^n in the n-th term of the series becomes s^n H_n(s x),
with the physicists' Hermite polynomials H_n and a contraction s, which bounds high
orders. x is the number of steps since the last computed one. The authors' first release
used -x, which flips the sign of odd orders; that was found by
Archerkattri/hicache-plus-plus, whose contraction is the default here.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.intra_request.differences import MOST_ORDER, differences, elapsed
from chorus_jax.intra_request.interval import IntervalCache
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class HiCache(IntervalCache):
    """Computes every `interval`-th step and forecasts the steps between.

    Attributes:
        first: steps at the start that are computed.
        order: the highest order of the differences, 1 to 8.
        contraction: the contraction s, above 0 and below 1.

    Raises:
        ValueError: as in `IntervalCache`, and for an order or contraction out of range.
    """

    first: int = 2
    order: int = 2
    contraction: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.order <= MOST_ORDER or not 0 < self.contraction < 1:
            raise ValueError(
                f"expected an order of 1 to {MOST_ORDER} and a contraction between 0 "
                f"and 1, got order {self.order}, contraction {self.contraction}"
            )

    @property
    def depth(self) -> int:  # type: ignore[override]
        """The number of kept values: a difference of order n needs n + 1."""
        return self.order + 1

    def weights(
        self, past: Int[Array, "r k"], i: Int[Array, " r"], schedule: Schedule
    ) -> Float[Array, "r k"]:
        """The weights of the series in Hermite polynomials."""
        bases = hermite(elapsed(i, past), self.order, self.contraction)
        total = jnp.zeros(past.shape, jnp.float32)
        for q, weight in enumerate(differences(past, self.order)):
            total = total + bases[q] / math.factorial(q) * weight
        return total


def hermite(x: Array, order: int, contraction: float) -> list[Array]:
    """s^n H_n(s x) of orders 0 to `order`, by H_(n+1) = 2 x H_n - 2 n H_(n-1)."""
    y, polynomials = contraction * x, [jnp.ones_like(x)]
    below = jnp.zeros_like(x)
    for n in range(order):
        now = 2 * y * polynomials[-1] - 2 * n * below
        below = polynomials[-1]
        polynomials.append(now)
    return [contraction**n * value for n, value in enumerate(polynomials)]
