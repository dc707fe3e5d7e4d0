"""Steps by token budgets (HSA, arXiv 2605.06892), for a whole video or a region of it.

A pass runs only the active tokens. If these are not all, every layer holds the keys and
values of all tokens: active tokens attend to these and replace their own. Every other
token keeps the velocity of the last pass that ran it, or has a step cache's forecast
from the velocities of its last passes.
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
from chorus_jax.denoise.token_forecasts import TokenForecasts, pushed
from chorus_jax.denoise.token_scope import TokenScope
from chorus_jax.families.forward import Held, Latents, evaluate
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.nets.control import when
from chorus_jax.token_budgets import ActiveSets

TINY = 1e-9  # least denominator: a velocity may be all zeros

Pass = Callable[..., tuple[Any, BudgetState, float]]


class BudgetedRun(NamedTuple):
    """State of tokens with budgets between steps, and the work of the last step.

    Attributes:
        latents: latents of the tokens that have budgets.
        solver: the solver's state for these latents.
        keys: keys and values of all tiles of the video.
        state: latest velocities, and the order of the tiles.
        share: the share of the tiles that the last step ran, 0 to 1.
    """

    latents: Latents
    solver: Any
    keys: Any
    state: BudgetState
    share: Float32[Array, ""]


@dataclass(frozen=True)
class BudgetedTokens:
    """Steps `first` to `last` (exclusive) of tokens with budgets.

    Attributes:
        budgets: in how many steps each group of tokens is run.
        first: the first step.
        last: the step after the last one.
        tiles: the number of tiles of the video or region.
        ranking: the number of steps at the beginning that run all tokens and rank the
            tiles by how much their velocity changes; 0 if the tiles are ranked already.
        cache: the step cache, which forecasts the velocities of tokens that are not
            run. A step that it skips runs no tokens, unless it is the first step or one
            that ranks the tiles.
        given: the indices of the tiles that have given tokens only (see
            `Geometry.given`). They rank last, and are run in the first step alone;
            budgets that run all tokens in all steps run them too.
    """

    budgets: ActiveSets
    first: int
    last: int
    tiles: int
    ranking: int
    cache: StepCache = EveryStep()
    given: tuple[int, ...] = ()

    @cached_property
    def sets(self) -> tuple[tuple[int, ...], ...]:
        """The ranks of the active tiles in each step."""
        sets = self.budgets.sets(self.first, self.last, self.tiles, self.ranking)
        if any(len(ranks) < self.tiles for ranks in sets):
            moving = self.tiles - len(self.given)
            others = [tuple(x for x in ranks if x < moving) for ranks in sets[1:]]
            sets = (*sets[:1], *others)
        if not isinstance(self.cache, ScheduledCache):
            return sets
        on, forced = self.cache.computes(self.budgets.steps), max(self.ranking, 1)
        return tuple(
            ranks if n < forced or on[self.first + n] else ()
            for n, ranks in enumerate(sets)
        )

    @cached_property
    def forecasts(self) -> TokenForecasts | None:
        """The forecasts of tokens that are not run; None if they keep their last
        velocity."""
        if not isinstance(self.cache, ScheduledCache):
            return None
        return TokenForecasts(self.cache, self.first, self.sets, self.tiles)

    @property
    def splits(self) -> bool:
        """Whether some steps run a part of the tiles, which attend to held keys."""
        return any(0 < len(ranks) < self.tiles for ranks in self.sets)

    @property
    def equivalents(self) -> float:
        """The work of all these steps, in passes of all tiles."""
        return sum(len(ranks) for ranks in self.sets) / self.tiles

    def table(self, size: int) -> Int32[np.ndarray, "steps k"]:
        """The ranks of the active tiles, one row per step; rows of steps that do not
        have `size` active tiles are zeros."""
        none = (0,) * size
        rows = [ranks if len(ranks) == size else none for ranks in self.sets]
        return np.array(rows, np.int32)

    def __call__(
        self, scope: TokenScope, i: Int[Array, " b"], now: BudgetedRun
    ) -> BudgetedRun:
        """Runs step `i`, which is the same for all requests."""
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
        """Runs one step with the given pass.

        Solver and pass are both inside the branch that `__call__` selects with `when`.
        A branch that reads nothing the step changes is loop-invariant: XLA would move
        it out of the loop and always compute it.
        """
        keys, state, share = velocity(scope, i, now)
        moving = state.velocities[0]
        if self.forecasts is not None:
            moving = self.forecasts(scope, i, state.velocities, state.order)
        latents, solver = solving.step(
            scope.run.solver,
            i,
            now.latents,
            moving,
            now.solver,
            scope.noise(i),
            scope.every(now.latents, i, now.keys).moves(),
        )
        return BudgetedRun(latents, solver, keys, state, jnp.float32(share))

    def passes(self) -> Iterator[tuple[int, Pass]]:
        """The passes that a step chooses from, each with its number of active tiles."""
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
        """Runs all tokens.

        Returns:
            The keys and values of all tiles, the new state, and the share of the tiles
            that were run.
        """
        before = now.state
        forward = scope.every(now.latents, i, now.keys)
        velocity, held = evaluate(forward, Held(now.keys))
        state = before._replace(velocities=(velocity, *before.velocities[:-1]))
        if self.ranking:
            state = self.ranked(scope, i, now, state)
        return held.keys, state, 1.0

    def ranked(
        self,
        scope: TokenScope,
        i: Int[Array, " b"],
        now: BudgetedRun,
        state: BudgetState,
    ) -> BudgetState:
        """The state after a pass, with the tiles ranked anew in a step that ranks them.

        Args:
            scope: the tokens.
            i: the step.
            now: the state before the pass.
            state: the state with the velocities of the pass.
        """
        # What will move at the end: soft keyframes begin to move later.
        end = jnp.full_like(i, scope.run.solver.schedule.steps - 1)
        moves = scope.every(now.latents, end, now.keys).moves()
        after, before = (
            scope.tiles(where_moving(x.velocities[0], moves))
            for x in (state, now.state)
        )
        ranks = (i < self.first + self.ranking)[:, None]
        measures = (i > self.first)[:, None] & ranks
        more = jnp.where(measures, relative_change(after, before), 0)
        change = state.change + more
        order = jnp.where(ranks, self.by_change(change), state.order)
        return state._replace(change=change, order=order)

    def by_change(self, change: Float32[Array, "b t"]) -> Int32[Array, "b t"]:
        """The indices of the tiles, those that change most first, given ones last."""
        keys = (-change).at[:, jnp.array(self.given, int)].set(jnp.inf)
        return jnp.argsort(keys, axis=1, stable=True).astype(jnp.int32)

    def some(
        self,
        table: Int32[np.ndarray, "steps k"],
        scope: TokenScope,
        i: Int[Array, " b"],
        now: BudgetedRun,
    ) -> tuple[Any, BudgetState, float]:
        """Runs the active tokens of step `i`, whose ranks are in `table`.

        Returns:
            The keys and values of all tiles, the new state, and the share of the tiles
            that were run.
        """
        before = now.state
        rows = before.order[:, jnp.asarray(table)[i[0] - self.first]]
        forward = scope.some(now.latents, i, now.keys, rows)
        fresh, held = evaluate(forward, Held(now.keys))
        velocities = pushed(scope, before.velocities, fresh, rows)
        state = before._replace(velocities=velocities)
        if rows.shape[1] in map(len, self.sets[1 : self.ranking]):
            state = self.ranked(scope, i, now, state)
        return held.keys, state, rows.shape[1] / self.tiles

    def init(self, latents: Latents) -> BudgetState:
        """The state before the first step, for latents of this shape."""
        b = jax.tree.leaves(latents)[0].shape[0]
        change = jnp.zeros((b, self.tiles), jnp.float32)
        order = self.by_change(change)
        depth = self.cache.depth if isinstance(self.cache, ScheduledCache) else 1
        velocities = tuple(jax.tree.map(jnp.zeros_like, latents) for _ in range(depth))
        return BudgetState(velocities, change, order)


def where_moving(velocity: Latents, moves: Latents | None) -> Latents:
    """The velocity, 0 where the latents are not changed (see `Forward.moves`)."""
    if moves is None:
        return velocity
    return jax.tree.map(lambda x, on: jnp.where(on, x, 0.0), velocity, moves)


def relative_change(
    now: Float[Array, "b t s p"], before: Float[Array, "b t s p"]
) -> Float[Array, "b t"]:
    """The relative change of the velocity in each tile.

    It is |now - before| / |before| in the L1 norm per token, averaged over the tokens
    of the tile (the metric of arXiv 2312.03209, which HSA applies per token).
    """
    change, size = (jnp.abs(x).sum(axis=3) for x in (now - before, before))
    return (change / jnp.maximum(size, TINY)).mean(axis=2)
