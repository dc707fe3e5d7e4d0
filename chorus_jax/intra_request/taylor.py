"""TaylorSeer: steps between computed ones are forecast by a Taylor series.

Liu et al., arXiv 2503.06923. Derivatives are finite differences over the last computed
steps. Shenyi-Z/TaylorSeer runs Wan 2.1 with an interval of 5, order 1 and 1 computed
step at the start, and forecasts the branches of every layer: that is the grain
`branches`. It keeps order + 1 outputs of every branch of every layer, for both guidance
branches: 36 GB for Wan 1.3B at 480p (bfloat16, order 1), 161 GB for Wan 14B. By default
the guided velocity is forecast (or the residual of all layers), which needs the memory
of order + 1 latents (or residuals).
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.intra_request.differences import MOST_ORDER, differences, elapsed
from chorus_jax.intra_request.interval import IntervalCache
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class TaylorSeer(IntervalCache):
    """Computes every `interval`-th step and forecasts the steps between.

    Attributes:
        order: the order of the series, 0 to 8; 0 reuses the last value.

    Raises:
        ValueError: as in `IntervalCache`, and for an order out of range.
    """

    order: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.order <= MOST_ORDER:
            raise ValueError(
                f"the order of a series is 0 to {MOST_ORDER}, got {self.order}"
            )

    @property
    def depth(self) -> int:  # type: ignore[override]
        """The number of kept values: a derivative of order n needs n + 1."""
        return self.order + 1

    def weights(
        self, past: Int[Array, "r k"], i: Int[Array, " r"], schedule: Schedule
    ) -> Float[Array, "r k"]:
        """The weights of the Taylor series around the last computed step."""
        x, total = elapsed(i, past), jnp.zeros(past.shape, jnp.float32)
        for q, weight in enumerate(differences(past, self.order)):
            total = total + x**q / math.factorial(q) * weight
        return total
