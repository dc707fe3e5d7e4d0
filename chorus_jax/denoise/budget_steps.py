"""Steps of a whole video whose tokens have budgets (HSA, arXiv 2605.06892).

The first ones run all tokens and show which change most. Then each step runs the active
tokens only, and all tokens move on with their latest velocity: the solver steps the
whole video. With Euler's method a velocity that is held over several steps is one
longer step. All requests of a batch stand at the same step here.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from chorus_jax.denoise.budgeted import BudgetedRun, BudgetedTokens
from chorus_jax.denoise.program import Run
from chorus_jax.denoise.state import RunState
from chorus_jax.denoise.token_scope import WholeVideo
from chorus_jax.nets.control import when
from chorus_jax.token_budgets import TokenBudgets


@dataclass(frozen=True)
class BudgetSteps:
    """Steps `first` to `last` (exclusive) of all tokens, by their budgets.

    Attributes:
        first: the first step.
        last: the step after the last one.
        expert: the name of the transformer.
        budgets: how many steps the tokens are run in.
        ranked: whether the order of the tokens is known from steps before, of another
            transformer: only the first step is run whole then, since keys are a
            transformer's own.
    """

    first: int
    last: int
    expert: str
    budgets: TokenBudgets
    ranked: bool = False

    @property
    def ranks(self) -> bool:
        """Whether the order of the tokens is known once these steps are done."""
        return self.ranked or self.last - self.first >= self.budgets.early

    def budgeted(self, tiles: int) -> BudgetedTokens:
        """The passes of these steps, of a video of so many tiles."""
        ranking = 0 if self.ranked else self.budgets.early
        return BudgetedTokens(self.budgets, self.first, self.last, tiles, ranking)

    def __call__(self, run: Run, state: RunState, until: Int[Array, " b"]) -> RunState:
        """The state after these steps, if one of them is the next one."""
        last, at = jnp.minimum(until[0], self.last), state.step[0]
        begins = (at == self.first) & (last > at)
        state = when(begins, lambda state: self.begin(run, state), state)
        count = jnp.where(at >= self.first, jnp.maximum(last - at, 0), 0)
        return jax.lax.fori_loop(
            0, count, lambda _, state: self.step(run, state), state
        )

    def begin(self, run: Run, state: RunState) -> RunState:
        """The state before the first step: nothing is known of the tokens, unless
        they are ranked."""
        assert state.budgets is not None
        fresh = self.budgeted(run.geometry.tiling.count).init(state.latents)
        if self.ranked:
            fresh = fresh._replace(order=state.budgets.order)
        return state._replace(budgets=fresh)

    def step(self, run: Run, state: RunState) -> RunState:
        """One step."""
        assert state.budgets is not None
        i, budgeted = state.step, self.budgeted(run.geometry.tiling.count)
        ours = budgeted(
            WholeVideo(run, self.expert),
            i,
            BudgetedRun(
                state.latents,
                state.solver,
                state.keys,
                state.budgets,
                jnp.zeros((), jnp.float32),
            ),
        )
        every = jnp.ones(i.shape, bool)
        return state._replace(
            step=i + 1,
            latents=ours.latents,
            solver=ours.solver,
            kept=run.keeping(state.kept, ours.latents, i + 1, every),
            work=state.work + ours.share,
            keys=ours.keys,
            budgets=ours.state,
        )
