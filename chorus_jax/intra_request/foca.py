"""FoCa: forecasts by a backward difference formula with a correction by Heun's method.

arXiv 2508.16211 treats a feature over the steps as an ordinary differential equation:
it predicts with a formula of order 2 over computed steps (BDF2), then applies a
trapezoidal corrector. We do not know its coefficients for uneven steps. Ours: the
predictor is the parabola through the last three computed values; the corrector moves
from the last value along the mean of two slopes, the slope of the last interval and the
slope of the parabola at the forecast step. Beyond a horizon the forecast is pulled back
to the last value; vipshop/cache-dit damps it there too, the form is ours.
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
    """Computes every `interval`-th step and forecasts the steps between.

    Attributes:
        first: steps at the start that are computed.
        horizon: steps since the last computed one, beyond which forecasts are damped.

    Raises:
        ValueError: as in `IntervalCache`, and for a horizon that is not above 0.
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
        """The weights of the corrected forecast, damped beyond the horizon."""
        slope, bend, gap = parabola(past)
        x = elapsed(i, past)
        here = jnp.minimum(x, self.horizon)
        predicted = slope + bend * (2 * here + gap)  # the parabola's slope at `here`
        moved = here / 2 * (slope + predicted)
        last = jnp.zeros(past.shape, jnp.float32).at[:, 0].set(1.0)
        return last + moved * (here / jnp.maximum(x, 1))


def parabola(
    past: Int[Array, "r 3"],
) -> tuple[Float[Array, "r 3"], Float[Array, "r 3"], Float[Array, "r 1"]]:
    """Divided differences of the last three computed values.

    Returns:
        The first and the second divided difference, each as weights of the three values
        (zeros if there are too few values), and the steps between the last two values.
    """
    known = past > NONE
    gaps = jnp.maximum(past[:, :-1] - past[:, 1:], 1).astype(jnp.float32)
    unit = jnp.eye(3, dtype=jnp.float32)[:, None]
    slope = (unit[0] - unit[1]) / gaps[:, :1]
    older = (unit[1] - unit[2]) / gaps[:, 1:]
    bend = (slope - older) / gaps.sum(axis=1, keepdims=True)
    slope = jnp.where(known[:, 1:2], slope, 0.0)
    return slope, jnp.where(known[:, 2:], bend, 0.0), gaps[:, :1]
