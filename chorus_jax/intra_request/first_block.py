"""FirstBlock: the first layers decide whether the other layers run.

The first-block cache of ParaAttention has one such layer, vipshop/cache-dit has more.
The first layers run in every step. If their residual is nearly that of the last
computed step, the other layers are skipped and their residual of that step is added
instead. `dbcache` adds layers at the end of the model that always run.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.changes import (
    all_branches,
    check_threshold,
    forced,
    relative,
)
from chorus_jax.intra_request.fitting import RunProperties, check_layers
from chorus_jax.intra_request.scheduled import share
from chorus_jax.nets.control import select, when, zeros
from chorus_jax.schedulers.flow import Schedule


class FirstBlockState(NamedTuple):
    """State of each row of the pass.

    Attributes:
        front: the residual of the first layers in the last computed step.
        others: the residual of the other layers in the last computed step.
        reused: the number of steps since the last computed step.
        known: whether a step has been computed yet.
    """

    front: Any
    others: Any
    reused: Int[Array, " r"]
    known: Bool[Array, " r"]


@dataclass(frozen=True)
class FirstBlock:
    """Skips all but the first layers while their residual hardly changes.

    Attributes:
        threshold: the relative change of the first layers' residual at which all layers
            run; at 0 they always run. cache-dit's default is .08, with 8 layers and 8
            steps at the start. vLLM-Omni sets .24 for Wan 2.2, with 1 layer, 4 steps
            and `longest` 3.
        front: the number of first layers.
        first: steps at the start that are computed.
        last: steps at the end that are computed.
        longest: the largest number of successive steps that are not computed; None for
            no limit.

    Raises:
        ValueError: for numbers out of range.
    """

    threshold: float = 0.08
    front: int = 1
    first: int = 8
    last: int = 0
    longest: int | None = None

    extrapolates = False  # not a field (see `extrapolating`): the last residual

    def __post_init__(self) -> None:
        check_threshold(self.threshold, self.first, self.last)
        if self.front < 1 or (self.longest or 0) < 0:
            raise ValueError(
                "expected 1 or more layers at the front and 0 or more steps in a row, "
                f"got {self.front} and {self.longest}"
            )

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for a model without layers beside the first ones."""
        check_layers("front", self.front, run)

    def init(self, forward: Forward) -> FirstBlockState:
        """The state before the first step."""
        tokens = zeros(jax.eval_shape(forward.stem))
        rows = len(jax.tree.leaves(tokens)[0])
        count, known = jnp.zeros(rows, jnp.int32), jnp.zeros(rows, bool)
        return FirstBlockState(tokens, tokens, count, known)

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: FirstBlockState,
    ) -> tuple[Latents, Held, FirstBlockState, Float[Array, " b"]]:
        """Runs all layers, or only those that always run (see `StepCache.step`)."""
        stem = forward.stem()
        tokens, sides = forward.blocks(stem, 0, self.front)
        front = jax.tree.map(jnp.subtract, tokens, stem)
        here = forward.rows(i)
        computed = self.decide(here, schedule.steps, front, state)
        computed = all_branches(forward, computed, i)
        reused = jax.tree.map(jnp.add, tokens, state.others)
        after, others, held = self.behind(
            forward, computed, tokens, reused, held, sides
        )
        known = jnp.ones_like(computed)
        fresh = FirstBlockState(front, others, jnp.zeros_like(here), known)
        after_reuse = state._replace(reused=state.reused + 1)
        state = select(computed, fresh, after_reuse)
        work = share(computed, i, always=self.always / forward.layers)
        return forward.head(after), held, state, work

    @property
    def always(self) -> int:
        """The number of layers that run in every step."""
        return self.front

    def behind(
        self,
        forward: Forward,
        computed: Bool[Array, " r"],
        tokens: Any,
        reused: Any,
        held: Held,
        sides: Any,
    ) -> tuple[Any, Any, Held]:
        """The layers behind the first ones.

        Args:
            forward: the pass.
            computed: whether each row needs the layers that can be skipped.
            tokens: the tokens after the first layers.
            reused: the tokens after the layers that can be skipped, if they are.
            held: the state before the pass.
            sides: the side outputs of the first layers.

        Returns:
            The tokens after the last layer, the residual of the layers that can be
            skipped, and the state after the pass.
        """

        def run(before: tuple[Any, Held], tokens: Any) -> tuple[Any, Held]:
            after, more = forward.blocks(tokens, self.front)
            return after, forward.hold(before[1], sides, more)

        after, held = when(computed.any(), run, (reused, held), tokens)
        after = select(computed, after, reused)
        return after, jax.tree.map(jnp.subtract, after, tokens), held

    def decide(
        self, i: Int[Array, " r"], steps: int, front: Any, state: FirstBlockState
    ) -> Bool[Array, " r"]:
        """Whether each row needs its other layers in step `i`."""
        computed = forced(i, steps, self.first, self.last) | ~state.known
        if self.longest is not None:
            computed |= state.reused >= self.longest
        return computed | (relative(front, state.front) >= self.threshold)
