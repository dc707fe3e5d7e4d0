"""DBCache: the first layers decide whether the middle ones run; the last always run.

vipshop/cache-dit (DBCache, "dual block cache"). It is the first-block cache
(`first_block`) with further layers at the end of the model that run in every step, on
what the skipped layers would have given them.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.changes import all_branches
from chorus_jax.intra_request.first_block import FirstBlock, FirstBlockState
from chorus_jax.intra_request.fitting import RunProperties, check_layers
from chorus_jax.intra_request.scheduled import share
from chorus_jax.nets.control import select, when, zeros
from chorus_jax.schedulers.flow import Schedule


@dataclass(frozen=True)
class DBCache(FirstBlock):
    """Skips the middle layers while the residual of the first ones hardly changes.

    Attributes:
        front: the number of first layers, which decide; cache-dit's default is 8.
        back: the number of last layers, which run in every step, 1 or more.

    The other attributes are those of `FirstBlock`.

    Raises:
        ValueError: for numbers out of range.
    """

    front: int = 8
    back: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.back < 1:
            raise ValueError(
                f"DBCache has 1 or more layers at the back, got {self.back}: without "
                "any take first-block"
            )

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for a model without layers in the middle."""
        check_layers("front + back", self.front + self.back, run)

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: FirstBlockState,
    ) -> tuple[Latents, Held, FirstBlockState, Float[Array, " b"]]:
        """Runs all layers, or only the first and the last ones (see
        `StepCache.step`)."""
        stem, here, end = forward.stem(), forward.rows(i), forward.layers - self.back
        tokens, first = forward.blocks(stem, 0, self.front)
        front = jax.tree.map(jnp.subtract, tokens, stem)
        computed = self.decide(here, schedule.steps, front, state)
        computed = all_branches(forward, computed, i)
        middle = lambda tokens: forward.blocks(tokens, self.front, end)

        def run(before: Any, tokens: Any) -> Any:
            return middle(tokens)

        reused = jax.tree.map(jnp.add, tokens, state.others)
        none = zeros(jax.eval_shape(middle, tokens)[1])
        after, sides = when(computed.any(), run, (reused, none), tokens)
        after = select(computed, after, reused)
        others = jax.tree.map(jnp.subtract, after, tokens)
        after, last = forward.blocks(after, end)
        hold = lambda held, *sides: forward.hold(held, *sides)
        held = when(computed.any(), hold, held, first, sides, last)
        fresh = FirstBlockState(
            front, others, jnp.zeros_like(here), jnp.ones_like(computed)
        )
        after_reuse = state._replace(reused=state.reused + 1)
        state = select(computed, fresh, after_reuse)
        always = (self.front + self.back) / forward.layers
        return forward.head(after), held, state, share(computed, i, always=always)
