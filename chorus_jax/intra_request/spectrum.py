"""Spectrum: forecasts by a least-squares fit of Chebyshev polynomials to past values.

arXiv 2603.01623, hanjq17/Spectrum. Polynomials over the steps of the whole run are
fitted to the computed values by ridge regression; unlike a series around the last step,
they follow slow changes. The forecast is a mix of this fit and the line through the
last two values. The distance between computed steps grows during the run.
"""

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.intra_request.differences import differences, elapsed
from chorus_jax.intra_request.grains import named_grain
from chorus_jax.intra_request.history import NONE
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class Spectrum(ScheduledCache):
    """Computes steps at growing distances and forecasts the steps between.

    Attributes:
        window: the first distance between computed steps, in steps, rounded down when
            it is used; 1 without growth computes every step.
        growth: how much each computed step adds to the distance.
        first: steps at the start that are computed.
        degree: the highest degree of the polynomials.
        ridge: the ridge penalty of the regression, above 0.
        mix: the weight of the fit in the forecast, 0 to 1; the line has the rest.
        depth: the number of computed values that are kept and fitted.
        grain: the value that is forecast, `velocity`, `residual` or `branches`.

    Raises:
        ValueError: for numbers out of range, or an unknown grain.
    """

    window: float = 2.0
    growth: float = 0.75
    first: int = 5
    degree: int = 4
    ridge: float = 0.1
    mix: float = 0.5
    depth: int = 10
    grain: str = "velocity"

    def __post_init__(self) -> None:
        if self.window < 1 or min(self.growth, self.first, self.degree) < 0:
            raise ValueError(
                "expected a window of 1 step or more and no negative numbers, got "
                f"{self}"
            )
        if not self.ridge > 0 or not 0 <= self.mix <= 1 or self.depth < 2:
            raise ValueError(
                "expected a ridge above 0, a mix from 0 to 1 and a depth of 2 or more, "
                f"got ridge {self.ridge}, mix {self.mix}, depth {self.depth}"
            )
        named_grain(self.grain)

    def computes(self, steps: int) -> tuple[bool, ...]:
        """The first steps, then steps at distances that grow."""
        table, window, skipped = [], self.window, 0
        for i in range(steps):
            computed = i < self.first or (skipped + 1) % math.floor(window) == 0
            if computed and i >= self.first:
                window = round(window + self.growth, 3)
            skipped = 0 if computed else skipped + 1
            table.append(computed)
        return tuple(table)

    def weights(
        self, past: Int[Array, "r k"], i: Int[Array, " r"], schedule: Schedule
    ) -> Float[Array, "r k"]:
        """The weights of the kept values in the mix of fit and line."""
        fit, line = self.fit(past, i, schedule.steps), self.line(past, i)
        return self.mix * fit + (1 - self.mix) * line

    def line(self, past: Int[Array, "r k"], i: Int[Array, " r"]) -> Float[Array, "r k"]:
        """The weights of the line through the last two values, at step `i`."""
        last, slope = differences(past, 1)
        return last + elapsed(i, past) * slope

    def fit(
        self, past: Int[Array, "r k"], i: Int[Array, " r"], steps: int
    ) -> Float[Array, "r k"]:
        """The weights of the kept values in the fitted polynomial at step `i`."""
        known = (past > NONE)[..., None]
        design = jnp.where(known, self.basis(past, steps), 0.0)
        gram = jnp.einsum("rkp,rkq->rpq", design, design)
        gram = gram + self.ridge * jnp.eye(self.degree + 1)[None]
        here = self.basis(i, steps)[..., None]
        return (design @ jnp.linalg.solve(gram, here))[..., 0]

    def basis(self, i: Int[Array, " *r"], steps: int) -> Float[Array, "*r p"]:
        """The Chebyshev polynomials at steps `i`; the steps of a run are mapped to
        [-1, 1]."""
        t = 2.0 * i.astype(jnp.float32) / steps - 1.0
        polynomials = [jnp.ones_like(t), t]
        for _ in range(self.degree - 1):
            polynomials.append(2 * t * polynomials[-1] - polynomials[-2])
        return jnp.stack(polynomials[: self.degree + 1], axis=-1)
