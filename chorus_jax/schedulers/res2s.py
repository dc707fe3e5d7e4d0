"""The res_2s sampler of LTX-2: second order, with fresh noise after every step.

An exponential Runge-Kutta method with one evaluation of the network per step. Steps
come in pairs: an even step i goes from `sigmas[i]` to a middle level; the odd step
after it starts again from `sigmas[i]` and goes to `sigmas[i + 2]`, with a weighted mean
of both steps' clean estimates. After every step, half of the noise level is fresh
noise. The latents from which the odd step starts are called the anchor. If the levels
of a pair are close together and not low, the anchor is replaced by the latents from
which an Euler step would give the noisy middle latents. LTX-2's code approximates them
in 100 iterations; here they are computed directly.

Source: Lightricks/LTX-2, packages/ltx-pipelines, ltx_pipelines/utils/samplers.py
(res2s_audio_video_denoising_loop) and res2s.py; ltx_core/components/diffusion_steps.py.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int

from chorus_jax.schedulers.euler import Euler
from chorus_jax.schedulers.flow import Schedule, check_latents, to_clean

LAST = 0.0011  # level of the last evaluation, as in LTX-2's code
FRESH = 0.5  # share of a level that is fresh noise
# The anchor is moved for pairs of a log ratio below SHORT and a level above NOISY.
SHORT, NOISY = 0.5, 0.03


def paired(sigmas: Sequence[float]) -> tuple[float, ...]:
    """The noise levels of all evaluations of a run over the given levels.

    After each level comes its geometric mean with the next one; the run ends with an
    evaluation at `LAST`.

    For example, (1, .5) gives (1, .7071, .5, .02345, .0011).
    """
    levels = [*sigmas, LAST]
    middles = [math.sqrt(a * b) for a, b in zip(levels, levels[1:])]
    pairs = [level for pair in zip(levels, middles) for level in pair]
    return (*pairs, LAST)


class Res2SState(NamedTuple):
    """The state between an even step and the odd step after it.

    Attributes:
        anchor: the latents from which the odd step starts.
        clean: the even step's estimate of the clean latents.
        known: whether the previous step of this run was an even one.
    """

    anchor: Float32[Array, "..."]
    clean: Float32[Array, "..."]
    known: Bool[Array, ""]


@dataclass(frozen=True)
class Res2S:
    """Second-order solver with fresh noise, whose steps come in pairs (see the module).

    If a run begins at an odd step, that step follows Euler's rule, and so does the last
    step. The caller gives the noise, as for `Renoise`.

    Attributes:
        schedule: noise levels and timesteps of all evaluations (see `paired`).
        stochastic: True, since a step adds noise.
    """

    schedule: Schedule
    stochastic: ClassVar[bool] = True

    @classmethod
    def spaced(cls, steps: int, shift: float = 1.0) -> "Res2S":
        """The solver with `steps` evaluations, at the sigmas of `Euler.spaced`."""
        return cls(Euler.spaced(steps, shift).schedule)

    @functools.cached_property
    def table(self) -> Float32[np.ndarray, "steps 7"]:
        """A row of constants per step.

        These are the sigma of the step's evaluation, the sigma from which the step
        starts, the next sigma, whether the step is odd, whether it moves the anchor,
        and, for an odd step, the weights of the pair's two clean estimates.
        """
        rows = [self.row(i) for i in range(self.schedule.steps)]
        return np.array(rows, np.float32)

    def row(self, i: int) -> tuple[float, ...]:
        """The row of a step in `table`."""
        sigmas = self.schedule.sigmas
        own, after = sigmas[i], sigmas[i + 1]
        if i % 2 == 0:
            end = sigmas[i + 2] if after else 0.0
            short = end > 0 and math.log(own / end) < SHORT and own > NOISY
            return (own, own, after, 0.0, float(short), 1.0, 0.0)
        start = sigmas[i - 1]
        return (own, start, after, 1.0, 0.0, *weights(start, own, after))

    def init(self, latents: Float[Array, " *shape"]) -> Res2SState:
        """The state at the start of a run with these latents, at any step."""
        check_latents(latents)
        zeros = jnp.zeros_like(latents)
        return Res2SState(zeros, zeros, jnp.array(False))

    def step(
        self,
        i: int | Int[Array, ""],
        latents: Float32[Array, " *shape"],
        velocity: Float[Array, " *shape"],
        state: Res2SState,
        noise: Float32[Array, " *shape"],
    ) -> tuple[Float32[Array, " *shape"], Res2SState]:
        """Latents at `sigmas[i + 1]`; `noise` is normalised to mean 0 and deviation
        1."""
        own, start, after, odd, short, first, second = jnp.asarray(self.table)[i]
        clean = to_clean(latents, velocity, own)
        pair = (odd > 0) & state.known
        anchor = jnp.where(pair, state.anchor, latents)
        start = jnp.where(pair, start, own)
        earlier = jnp.where(pair, state.clean, clean)
        first, second = jnp.where(pair, first, 1.0), jnp.where(pair, second, 0.0)
        target = first * earlier + second * clean
        slope = (anchor - target) / start
        fresh = (noise - noise.mean()) / noise.std(ddof=1)
        retained = after * math.sqrt(1 - FRESH**2)
        moved = (1 - after + retained) * target + retained * slope
        moved = moved + FRESH * after * fresh
        moved = jnp.where(after > 0, moved, clean)
        share = after / start
        back = (moved - (1 - share) * clean) / jnp.where(share > 0, share, 1.0)
        anchor = jnp.where(short > 0, back, anchor)
        return moved, Res2SState(anchor, clean, odd == 0)


def weights(start: float, middle: float, end: float) -> tuple[float, float]:
    """The weights of a pair's two clean estimates, which add up to 1.

    Args:
        start: the noise level of the first estimate.
        middle: the noise level of the second estimate.
        end: the noise level after the pair; at 0 only the second estimate counts.
    """
    if not end:
        return 0.0, 1.0
    h = math.log(start / end)
    place = math.log(start / middle) / h
    moved = 1 - end / start
    second = (h - moved) / h / place
    return (moved - second) / moved, second / moved
