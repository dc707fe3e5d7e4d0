"""SeaCache: decides from the change of the latents after filtering out their noise.

arXiv 2602.18993; constants and form of the filter are those of diffusers 0.42. At noise
level s the filter's gain at frequency f of an axis is (1 - s) S / ((1 - s)^2 S + s^2),
with the prior S = 1 / f^3 for video, so that noise does not count as change. The
relative changes of the filtered latents are summed; once the sum reaches a threshold,
the layers run. A step that skips them adds a residual that is extrapolated along the
line through the residuals of the last two computed steps.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.changes import check_threshold, forced, relative
from chorus_jax.intra_request.differences import differences, elapsed
from chorus_jax.intra_request.grains import named_grain
from chorus_jax.intra_request.history import History
from chorus_jax.intra_request.scheduled import share
from chorus_jax.nets.control import zeros
from chorus_jax.schedulers.flow import Schedule

FAINT = 1e-16  # added to f^3, so that the prior is finite at frequency 0
EDGE = 1e-6  # noise levels are clipped to this distance from 0 and 1


class SeaState(NamedTuple):
    """State of a run.

    Attributes:
        indicator: the filtered latents of the step before, per request.
        past: the residuals of the last computed steps (one, or two for order 1), per
            row of the pass.
        total: the sum of relative changes since the last computed step, per request.
        reused: the number of steps since the last computed step, per request.
    """

    indicator: Latents
    past: History
    total: Float[Array, " b"]
    reused: Int[Array, " b"]


@dataclass(frozen=True)
class SeaCache:
    """Skips the layers until the filtered latents have changed enough.

    Attributes:
        threshold: the sum of relative changes at which the layers run; at 0 every step
            is computed.
        order: the order of the residual's forecast: 0 reuses the last residual, 1
            extrapolates along the line through the last two.
        first: steps at the start that are computed.
        last: steps at the end that are computed.
        longest: the largest number of successive steps that are not computed; 0 for no
            limit.

    Raises:
        ValueError: for numbers out of range.
    """

    threshold: float = 0.25
    order: int = 1
    first: int = 1
    last: int = 1
    longest: int = 2

    def __post_init__(self) -> None:
        check_threshold(self.threshold, self.first, self.last)
        if self.order not in (0, 1) or self.longest < 0:
            raise ValueError(
                "expected an order of 0 or 1 and 0 or more steps in a row, got "
                f"{self.order} and {self.longest}"
            )

    @property
    def extrapolates(self) -> bool:
        """See `extrapolating.extrapolates`: order 0 reuses the last residual."""
        return self.order > 0

    def init(self, forward: Forward) -> SeaState:
        """The state before the first step."""
        latents = zeros(jax.eval_shape(lambda: forward.latents))
        past = History.empty(named_grain("residual").shapes(forward), self.order + 1)
        numbers = jnp.zeros(len(jax.tree.leaves(latents)[0]))
        return SeaState(latents, past, numbers, numbers.astype(jnp.int32))

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: SeaState,
    ) -> tuple[Latents, Held, SeaState, Float[Array, " b"]]:
        """Runs all layers, or uses a forecast of their residual (see
        `StepCache.step`)."""
        indicator = filtered(forward.latents, jnp.array(schedule.sigmas)[i])
        known = state.past.known[: len(i)]
        computed, total = self.decide(i, schedule.steps, indicator, known, state)
        here, rows = forward.rows(i), forward.rows(computed)
        terms = differences(state.past.steps, self.order)
        weights = terms[0] + (elapsed(here, state.past.steps) * terms[-1]) * self.order
        velocity, held, residual = named_grain("residual").step(
            forward, held, rows, state.past.combined(weights)
        )
        past = state.past.pushed(rows, here, residual)
        reused = jnp.where(computed, 0, state.reused + 1)
        after = SeaState(indicator, past, total, reused)
        return velocity, held, after, share(computed, i)

    def decide(
        self,
        i: Int[Array, " b"],
        steps: int,
        indicator: Latents,
        known: Bool[Array, " b"],
        state: SeaState,
    ) -> tuple[Bool[Array, " b"], Float[Array, " b"]]:
        """Whether each request's layers run in step `i`, and its sum of changes after
        the step."""
        total = state.total + relative(indicator, state.indicator)
        computed = forced(i, steps, self.first, self.last) | ~known
        if self.longest:
            computed |= state.reused >= self.longest
        computed |= total >= self.threshold
        return computed, jnp.where(computed, 0.0, total)


def filtered(latents: Latents, sigma: Float[Array, " b"]) -> Latents:
    """The latents with the frequencies removed that noise hides at these noise levels.

    Arrays that are not on a grid of frames, height and width, such as the patches of a
    region, stay unchanged.
    """

    def leaf(x: Array) -> Array:
        if x.ndim != 5:
            return x
        gain = jax.vmap(lambda level: response(x.shape[1:4], level))(sigma)
        spectrum = jnp.fft.fftn(x.astype(jnp.float32), axes=(1, 2, 3))
        return jnp.fft.ifftn(
            spectrum * gain[..., None].astype(spectrum.dtype), axes=(1, 2, 3)
        ).real

    return jax.tree.map(leaf, latents)


def response(shape: tuple[int, ...], sigma: Any) -> Float[Array, "f h w"]:
    """The filter's gain at each frequency of a grid, scaled to a mean of 1."""
    sigma = jnp.clip(sigma, EDGE, 1 - EDGE)
    total = jnp.ones(shape, jnp.float32)
    for axis, count in enumerate(shape):
        prior = 1 / (jnp.abs(jnp.fft.fftfreq(count)) ** 3 + FAINT)
        gain = (1 - sigma) * prior / ((1 - sigma) ** 2 * prior + sigma**2)
        total = total * gain.reshape([-1 if a == axis else 1 for a in range(3)])
    return total / total.mean()
