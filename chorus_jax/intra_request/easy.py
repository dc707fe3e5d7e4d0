"""EasyCache: a pass is reused while its output is predicted to change little.

arXiv 2507.02860, H-EmbodVis/EasyCache. The output is assumed to change in proportion to
the latents, at the rate of the last two computed steps, so the change of the latents
predicts that of the output. A reused step adds the last computed difference between
output and latents to its latents; of the model only the stem runs.

The authors watch the output of the prompt's branch and reuse the difference in each
branch. Here the guided velocity is watched and reused. The reused output is the same
where guidance is a weighted sum whose weights add up to 1, as Wan's; with the rescaled
guidance of LTX it differs a little.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.changes import (
    TINY,
    check_threshold,
    distance,
    forced,
    size,
)
from chorus_jax.intra_request.grains import compute_if
from chorus_jax.nets.control import select, zeros
from chorus_jax.schedulers.flow import Schedule


class EasyState(NamedTuple):
    """State of each request.

    Attributes:
        latents: the latents of the step before.
        start: the latents of the last computed step.
        velocity: the velocity of the last computed step.
        rate: the output's change per change of the latents between the last two
            computed steps.
        total: the sum of predicted relative changes since the last computed step.
        passes: the number of computed steps, at most 2.
    """

    latents: Latents
    start: Latents
    velocity: Latents
    rate: Float[Array, " b"]
    total: Float[Array, " b"]
    passes: Int[Array, " b"]


@dataclass(frozen=True)
class EasyCache:
    """Reuses the last pass until the predicted change reaches a threshold.

    Attributes:
        threshold: the sum of predicted relative changes of the output at which a step
            is computed; at 0 every step is. The authors run Wan 2.1 at .05, .1 and .2.
        first: steps at the start that are computed; the authors use 10 of 50 for Wan, 5
            for Hunyuan.
        last: steps at the end that are computed.

    Raises:
        ValueError: for a threshold that is negative or not finite, or negative numbers
            of steps.
    """

    threshold: float = 0.05
    first: int = 10
    last: int = 1

    grain = "velocity"  # not a field: a reused difference is a velocity of before
    extrapolates = False  # not a field (see `extrapolating`): one difference

    def __post_init__(self) -> None:
        check_threshold(self.threshold, self.first, self.last)

    def init(self, forward: Forward) -> EasyState:
        """The state before the first step."""
        empty = zeros(jax.eval_shape(lambda: forward.latents))
        numbers = jnp.zeros(len(jax.tree.leaves(empty)[0]), jnp.float32)
        passes = numbers.astype(jnp.int32)
        return EasyState(empty, empty, empty, numbers, numbers, passes)

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: EasyState,
    ) -> tuple[Latents, Held, EasyState, Float[Array, " b"]]:
        """Runs the whole pass, or reuses the last difference (see `StepCache.step`)."""
        latents = forward.latents
        computed, total = self.decide(i, schedule.steps, latents, state)
        reused = jax.tree.map(
            lambda x, y, z: x + (y - z), latents, state.velocity, state.start
        )
        velocity, held = compute_if(forward, held, computed.any(), reused)
        velocity = select(computed, velocity, reused)
        after = EasyState(
            latents,
            latents,
            velocity,
            rate(latents, velocity, state),
            total,
            jnp.minimum(state.passes + 1, 2),
        )
        after_reuse = state._replace(latents=latents, total=total)
        work = computed.astype(jnp.float32)
        return velocity, held, select(computed, after, after_reuse), work

    def decide(
        self, i: Int[Array, " b"], steps: int, latents: Latents, state: EasyState
    ) -> tuple[Bool[Array, " b"], Float[Array, " b"]]:
        """Whether each request's step `i` is computed, and its sum of changes after the
        step."""
        moved = distance(latents, state.latents)
        change = state.rate * moved / jnp.maximum(size(state.velocity), TINY)
        total = state.total + change
        # The rate is known once two steps have been computed.
        computed = forced(i, steps, self.first, self.last) | (state.passes < 2)
        computed |= total >= self.threshold
        return computed, jnp.where(computed, 0.0, total)


def rate(latents: Latents, velocity: Latents, state: EasyState) -> Float[Array, " b"]:
    """The output's change per change of the latents, since the last computed step."""
    moved = jnp.maximum(distance(latents, state.start), TINY)
    return distance(velocity, state.velocity) / moved
