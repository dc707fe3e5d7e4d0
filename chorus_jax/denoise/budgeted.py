"""Passes by token budgets (HSA, arXiv 2605.06892), of a whole video or of a region.

The keys and values of all tokens are held per layer. A pass runs the active tokens
only: they attend to all keys, and write their own. What a token's velocity was when it
was last run stays its velocity until it is run again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Int32

from chorus_jax.denoise import solving
from chorus_jax.denoise.state import BudgetState
from chorus_jax.denoise.token_scope import TokenScope
from chorus_jax.families.forward import Held, Latents, evaluate
from chorus_jax.nets.control import when
from chorus_jax.token_budgets import TokenBudgets

TINY = 1e-9  # a velocity of zeros

Pass = Callable[..., tuple[Any, BudgetState, float]]


class BudgetedRun(NamedTuple):
    """State that a step changes, and the work of the last one.

    Attributes:
        latents: of the tokens that have budgets.
        solver: the solver's state for them.
        keys: keys and values of all tiles of the video.
        state: velocities, and the order of the tiles.
        share: of the tiles that were run.
    """

    latents: Latents
    solver: Any
    keys: Any
    state: BudgetState
    share: Float32[Array, ""]


@dataclass(frozen=True)
class BudgetedTokens:
    """Steps `first` to `last` (exclusive) of tokens by budgets.

    Attributes:
        budgets: how many steps the tokens are run in.
        first: the first step.
        last: the step after the last one.
        tiles: the number of tiles of the video or region.
        ranking: the steps at the beginning whose changes of the velocity decide the
            order of the tiles; 0 where it is known.
    """

    budgets: TokenBudgets
    first: int
    last: int
    tiles: int
    ranking: int

    @cached_property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        """The ranks of the active tiles in each step."""
        return self.budgets.sets(self.first, self.last, self.tiles, self.ranking)

    @property
    def equivalents(self) -> float:
        """The full steps' worth of all of them."""
        return sum(len(ranks) for ranks in self.sets) / self.tiles

    def table(self, size: int) -> Int32[np.ndarray, "steps k"]:
        """The ranks of each step's active tiles; zeros for steps with another number
        of them."""
        none = (0,) * size
        rows = [ranks if len(ranks) == size else none for ranks in self.sets]
        return np.array(rows, np.int32)

    def __call__(
        self, scope: TokenScope, i: Int[Array, " b"], now: BudgetedRun
    ) -> BudgetedRun:
        """The run after step `i`, the same one of all requests."""
        lengths = [len(ranks) for ranks in self.sets]
        count = jnp.asarray(lengths, jnp.int32)[i[0] - self.first]
        for size, velocity in self.passes():
            now = when(count == size, partial(self.step, velocity, scope, i), now)
        return now

    def step(
        self,
        velocity: Pass,
        scope: TokenScope,
        i: Int[Array, " b"],
        now: BudgetedRun,
    ) -> BudgetedRun:
        """One step. All of it is inside the choice of its pass: a pass that reads
        nothing which the step changes would be computed ahead of the choice, and so
        always (XLA moves what is invariant out of a loop)."""
        keys, state, share = velocity(scope, i, now)
        latents, solver = solving.step(
            scope.run.solver,
            i,
            now.latents,
            state.velocity,
            now.solver,
            scope.noise(i),
            scope.every(now.latents, i, now.keys).moves(),
        )
        return BudgetedRun(latents, solver, keys, state, jnp.float32(share))

    def passes(self) -> Iterator[tuple[int, Pass]]:
        """The passes of a step by the number of active tiles."""
        for size in sorted({len(ranks) for ranks in self.sets}, reverse=True):
            if size == self.tiles:
                yield size, self.every
            elif size:
                yield size, partial(self.some, self.table(size))
            else:
                yield size, lambda scope, i, now: (now.keys, now.state, 0.0)

    def every(
        self, scope: TokenScope, i: Int[Array, " b"], now: BudgetedRun
    ) -> tuple[Any, BudgetState, float]:
        """The pass of all tokens: keys, state and the share that was run."""
        before = now.state
        forward = scope.every(now.latents, i, now.keys)
        velocity, held = evaluate(forward, Held(now.keys))
        order, change = before.order, before.change
        if self.ranking:
            tiles = scope.tiles(velocity), scope.tiles(before.velocity)
            begun = (i > self.first) & (i < self.first + self.ranking)
            change = change + jnp.where(begun[:, None], relative_change(*tiles), 0)
            ranked = jnp.argsort(-change, axis=1, stable=True).astype(jnp.int32)
            order = jnp.where((i < self.first + self.ranking)[:, None], ranked, order)
        return held.keys, BudgetState(velocity, change, order), 1.0

    def some(
        self,
        table: Int32[np.ndarray, "steps k"],
        scope: TokenScope,
        i: Int[Array, " b"],
        now: BudgetedRun,
    ) -> tuple[Any, BudgetState, float]:
        """The pass of the active tokens: keys, state and the share that was run."""
        before = now.state
        rows = before.order[:, jnp.asarray(table)[i[0] - self.first]]
        forward = scope.some(now.latents, i, now.keys, rows)
        fresh, held = evaluate(forward, Held(now.keys))
        velocity = scope.merged(before.velocity, fresh, rows)
        state = before._replace(velocity=velocity)
        return held.keys, state, rows.shape[1] / self.tiles

    def init(self, latents: Latents) -> BudgetState:
        """The state before the first step, for latents of these tokens."""
        b = jax.tree.leaves(latents)[0].shape[0]
        order = jnp.broadcast_to(
            jnp.arange(self.tiles, dtype=jnp.int32), (b, self.tiles)
        )
        change = jnp.zeros((b, self.tiles), jnp.float32)
        return BudgetState(jax.tree.map(jnp.zeros_like, latents), change, order)


def relative_change(
    now: Float[Array, "b t s p"], before: Float[Array, "b t s p"]
) -> Float[Array, "b t"]:
    """The relative change of the velocity in the L1 norm of each token, its mean over
    each tile (the metric of arXiv 2312.03209, which HSA takes per token)."""
    change, size = (jnp.abs(x).sum(axis=3) for x in (now - before, before))
    return (change / jnp.maximum(size, TINY)).mean(axis=2)
