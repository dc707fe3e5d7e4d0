"""EasyCache: a pass is reused while the latents foresee little change of its output.

arXiv 2507.02860, H-EmbodVis/EasyCache. Between two computed steps the output changes in
proportion to the latents, so the next change is foreseen from that of the latents. What
is reused is the output's difference from the latents; of the model the stem runs.

The authors watch the branch of the prompt and reuse the difference in each branch. Here
the guided velocity is watched, which is the same to reuse, as guidance is a weighted
sum with weights of total 1.
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
from chorus_jax.intra_request.grains import whole
from chorus_jax.nets.control import select, zeros
from chorus_jax.schedulers.flow import Schedule


class EasyState(NamedTuple):
    """State of each request.

    Attributes:
        latents: those of the step before.
        start: those of the last computed step.
        velocity: that of the last computed step.
        rate: the change of the output per change of the latents, between the last two
            computed steps.
        total: the change foreseen since the last one.
        passes: computed steps, up to 2.
    """

    latents: Latents
    start: Latents
    velocity: Latents
    rate: Float[Array, " b"]
    total: Float[Array, " b"]
    passes: Int[Array, " b"]


@dataclass(frozen=True)
class EasyCache:
    """Reuses the last pass until the foreseen change reaches a threshold.

    Attributes:
        threshold: the relative change of the output that may add up; at 0 every step is
            computed. The authors run Wan 2.1 at .05, .1 and .2.
        first: steps at the start that are computed; 10 of 50 for Wan, 5 for Hunyuan.
        last: steps at the end that are computed.

    Raises:
        ValueError: for a threshold below 0 or not finite, or negative numbers.
    """

    threshold: float = 0.05
    first: int = 10
    last: int = 1

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
        """The whole pass, or the last one's difference (see `StepCache.step`)."""
        latents = forward.latents
        computed, total = self.decide(i, schedule.steps, latents, state)
        reused = jax.tree.map(
            lambda x, y, z: x + (y - z), latents, state.velocity, state.start
        )
        velocity, held = whole(forward, held, computed.any(), reused)
        velocity = select(computed, velocity, reused)
        after = EasyState(
            latents,
            latents,
            velocity,
            rate(latents, velocity, state),
            total,
            jnp.minimum(state.passes + 1, 2),
        )
        kept = state._replace(latents=latents, total=total)
        work = computed.astype(jnp.float32)
        return velocity, held, select(computed, after, kept), work

    def decide(
        self, i: Int[Array, " b"], steps: int, latents: Latents, state: EasyState
    ) -> tuple[Bool[Array, " b"], Float[Array, " b"]]:
        """Whether each request's step `i` is computed, and its total after it."""
        moved = distance(latents, state.latents)
        change = state.rate * moved / jnp.maximum(size(state.velocity), TINY)
        total = state.total + change
        # The rate is known once two steps were computed.
        computed = forced(i, steps, self.first, self.last) | (state.passes < 2)
        computed |= total >= self.threshold
        return computed, jnp.where(computed, 0.0, total)


def rate(latents: Latents, velocity: Latents, state: EasyState) -> Float[Array, " b"]:
    """The output's change per change of the latents since the last computed step."""
    moved = jnp.maximum(distance(latents, state.start), TINY)
    return distance(velocity, state.velocity) / moved
