"""FoCa: a forecast by a backward formula, then calibrated by Heun's rule.

arXiv 2508.16211 treats a feature over the steps as an ordinary differential equation:
a predictor of order 2 over computed steps (BDF2), then a trapezoidal corrector. Its
coefficients over uneven steps are not known to us. Ours: the predictor is the parabola
through the last three computed values; the corrector goes from the last value along the
mean of two slopes, that of the last interval and that of the parabola at the forecast.
Beyond a horizon the forecast is drawn back to the last value (as vipshop/cache-dit).
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.intra_request.differences import elapsed
from chorus_jax.intra_request.history import NONE
from chorus_jax.intra_request.interval import IntervalCache
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class FoCa(IntervalCache):
    """Computes every `interval`-th step and forecasts those between.

    Attributes:
        first: steps at the start that are computed.
        horizon: steps after the last computed one up to which a forecast is not damped.

    Raises:
        ValueError: as `IntervalCache`, and for a horizon of 0 or below.
    """

    first: int = 3
    horizon: float = 3.0

    depth = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.horizon > 0:
            raise ValueError(f"a horizon is above 0 steps, got {self.horizon}")

    def weights(
        self, past: Int[Array, "r k"], i: Int[Array, " r"], schedule: Schedule
    ) -> Float[Array, "r k"]:
        """The weights of the calibrated forecast."""
        slope, bend, gap = parabola(past)
        x = elapsed(i, past)
        here = jnp.minimum(x, self.horizon)
        predicted = slope + bend * (2 * here + gap)  # the parabola's slope there
        moved = here / 2 * (slope + predicted)
        last = jnp.zeros(past.shape, jnp.float32).at[:, 0].set(1.0)
        return last + moved * (here / jnp.maximum(x, 1))


def parabola(
    past: Int[Array, "r 3"],
) -> tuple[Float[Array, "r 3"], Float[Array, "r 3"], Float[Array, "r 1"]]:
    """The first and second divided difference as weights of three values, and the steps
    of the last interval. 0 for which there are too few values."""
    known = past > NONE
    gaps = jnp.maximum(past[:, :-1] - past[:, 1:], 1).astype(jnp.float32)
    unit = jnp.eye(3, dtype=jnp.float32)[:, None]
    slope = (unit[0] - unit[1]) / gaps[:, :1]
    older = (unit[1] - unit[2]) / gaps[:, 1:]
    bend = (slope - older) / gaps.sum(axis=1, keepdims=True)
    slope = jnp.where(known[:, 1:2], slope, 0.0)
    return slope, jnp.where(known[:, 2:], bend, 0.0), gaps[:, :1]
