"""Denoising steps of a whole video with token budgets (HSA, arXiv 2605.06892).

The first steps run all tokens and measure whose velocity changes most. After them each
step runs only the active tokens through the transformer, while the solver moves all
tokens, each by its latest velocity or by a step cache's forecast from its last ones.
With Euler's method, keeping a velocity over several steps is the same as one longer
step. Multistep solvers (UniPC, DPM++) take the change of a token's velocity after some
held steps for the change of one step, so Euler suits token budgets better. All requests
of a batch are at the same step.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from chorus_jax.denoise.budgeted import BudgetedRun, BudgetedTokens
from chorus_jax.denoise.program import Run
from chorus_jax.denoise.state import RunState
from chorus_jax.denoise.token_scope import WholeVideo
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.nets.control import when
from chorus_jax.token_budgets import ActiveSets


@dataclass(frozen=True)
class BudgetSteps:
    """A stretch of steps that run the tokens of a whole video by their budgets.

    Attributes:
        first: the first step.
        last: the step after the last one.
        expert: the name of the transformer.
        budgets: in how many steps each group of tokens is run.
        ranked: whether earlier steps, with another transformer, have ranked the tokens
            already. If so, only the first step runs all tokens (keys and values cannot
            be taken over from another transformer).
        cache: the step cache that forecasts the velocities of tokens that are not run.
    """

    first: int
    last: int
    expert: str
    budgets: ActiveSets
    ranked: bool = False
    cache: StepCache = EveryStep()

    @property
    def ranks(self) -> bool:
        """Whether the tokens are ranked once these steps are done."""
        return self.ranked or self.last - self.first >= self.budgets.early

    def budgeted(self, tiles: int, given: tuple[int, ...] = ()) -> BudgetedTokens:
        """The token budgets applied to these steps of a video with `tiles` tiles, of
        which those with the indices `given` have given tokens only."""
        ranking = 0 if self.ranked else self.budgets.early
        return BudgetedTokens(
            self.budgets, self.first, self.last, tiles, ranking, self.cache, given
        )

    def of(self, run: Run) -> BudgetedTokens:
        """The token budgets applied to these steps of a run."""
        geometry = run.geometry
        return self.budgeted(geometry.tiling.count, geometry.given_tiles)

    def __call__(self, run: Run, state: RunState, until: Int[Array, " b"]) -> RunState:
        """Runs these steps up to `until`; returns the state unchanged if the next step
        is not one of them."""
        last, at = jnp.minimum(until[0], self.last), state.step[0]
        begins = (at == self.first) & (last > at)
        state = when(begins, lambda state: self.begin(run, state), state)
        count = jnp.where(at >= self.first, jnp.maximum(last - at, 0), 0)
        return jax.lax.fori_loop(
            0, count, lambda _, state: self.step(run, state), state
        )

    def begin(self, run: Run, state: RunState) -> RunState:
        """The state with its token budgets reset; ranked tokens keep their order."""
        assert state.budgets is not None
        fresh = self.of(run).init(state.latents)
        if self.ranked:
            fresh = fresh._replace(order=state.budgets.order)
        return state._replace(budgets=fresh)

    def step(self, run: Run, state: RunState) -> RunState:
        """Runs one step."""
        assert state.budgets is not None
        i = state.step
        ours = self.of(run)(
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
        return state._replace(
            step=i + 1,
            latents=ours.latents,
            solver=ours.solver,
            work=state.work + ours.share,
            keys=ours.keys,
            budgets=ours.state,
        )
