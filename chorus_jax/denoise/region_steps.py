"""Stage 2: a step with all tokens that chooses the region, then steps of the region.

All requests of a batch are at the same step. The region's steps keep only the patches
of its tiles; after the last step the region's core is pasted into the source's latents.
If the videos differ outside the region too, these steps are those of the whole video
instead: all tokens, or by token budgets.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from chorus_jax.denoise import solving
from chorus_jax.denoise.budget_steps import BudgetSteps
from chorus_jax.denoise.budgeted import BudgetedRun, BudgetedTokens
from chorus_jax.denoise.program import Run, slots
from chorus_jax.denoise.region import (
    Region,
    attended,
    beyond,
    by_tile,
    chosen,
    core_and_sampled,
    dilated,
    disagreement,
    token_bias,
)
from chorus_jax.denoise.state import Chosen, RegionPart, RegionState, RunState
from chorus_jax.denoise.tiles import taken, tiles_of, with_tiles, written
from chorus_jax.denoise.token_scope import RegionOfVideo
from chorus_jax.denoise.whole_steps import WholeSteps
from chorus_jax.devices.sharding import constrain
from chorus_jax.families.forward import AllTokens, Held, Latents, TileTokens
from chorus_jax.intra_request import StepCache
from chorus_jax.nets.control import when
from chorus_jax.token_budgets import ActiveSets


@dataclass(frozen=True)
class OpeningStep:
    """The step with all tokens that chooses the region.

    The step cache is reset before it, so its pass is always computed. With the context
    `held` it leaves the keys and values that the region's tokens attend to.

    Attributes:
        first: the number of this step, from 0.
        cache: the step cache of its stretch, reset at this step.
        expert: the name of the transformer.
        following: the steps of the region, which come next.
    """

    first: int
    cache: StepCache
    expert: str
    following: "RegionSteps"

    @property
    def region(self) -> Region:
        """The region that is chosen here."""
        return self.following.region

    def __call__(self, run: Run, state: RunState, until: Int[Array, " b"]) -> RunState:
        """Runs this step; returns the state unchanged if it is not the next one."""
        here = (state.step[0] == self.first) & (until[0] > self.first)
        return when(here, lambda state: self.step(run, state), state)

    def tokens(self, run: Run) -> AllTokens:
        """All tokens, with the side outputs that the region needs from the pass."""
        words = run.inputs.words if self.region.found_by == "attention" else None
        held = self.region.context == "held"
        return AllTokens(run.geometry.tiling if held else None, words)

    def step(self, run: Run, state: RunState) -> RunState:
        """Runs the step and chooses the region."""
        assert state.region is not None and run.inputs.source is not None
        i, before = jnp.full_like(state.step, self.first), state.region
        forward = run.forward(self.expert, state.latents, i, self.tokens(run))
        # A fresh state makes the step cache compute this step.
        fresh = self.cache.init(forward)
        velocity, held, cache, work = self.cache.step(
            i, run.solver.schedule, forward, self.held(run, state), fresh
        )
        # What will move at the end: soft keyframes begin to move later.
        end = jnp.full_like(i, run.solver.schedule.steps - 1)
        later = run.forward(self.expert, state.latents, end, self.tokens(run))
        region = self.choose(run, velocity, held, later.moves())
        latents, solver = solving.step(
            run.solver,
            i,
            state.latents,
            velocity,
            state.solver,
            run.noise(i),
            forward.moves(),
        )
        caches = list(state.caches)
        caches[slots(run.plan).index((self.cache, self.expert))] = cache
        state = state._replace(
            step=state.step + 1,
            latents=latents,
            solver=solver,
            caches=tuple(caches),
            work=state.work + work,
        )
        shown = RegionState(region, before.parts)
        keys = held.keys if self.region.context == "held" else state.keys
        state = self.following.ranked(run, state._replace(region=shown, keys=keys))
        return self.following.begin(run, state, latents)

    def held(self, run: Run, state: RunState) -> Held:
        """The state that the pass fills in: held keys, and each token's share of
        attention if the region is found by attention."""
        if self.tokens(run).words is None:
            return Held(state.keys)
        b, n = len(state.step), math.prod(run.geometry.grid)
        return Held(state.keys, jnp.zeros((b, n), jnp.float32))

    def choose(
        self, run: Run, velocity: Latents, held: Held, moves: Latents | None = None
    ) -> Chosen:
        """Chooses each request's region, and whether all tokens are run instead.

        Latents that no later step changes (`moves` is False there) do not differ,
        whatever their velocity. If one request of a batch differs too much outside its
        core, all requests run all tokens. With a mask the caller has chosen the region,
        and there is no such check.
        """
        mask, geometry = run.inputs.mask, run.geometry
        assert run.inputs.source is not None
        source_velocity = geometry.named(run.inputs.source.velocity)[geometry.video]
        ours = geometry.named(velocity)[geometry.video]
        if moves is not None:
            moving = geometry.named(moves)[geometry.video]
            ours = jnp.where(moving, ours, source_velocity)
        apart = disagreement(ours, source_velocity, geometry.patch, geometry.tiling)
        wanted = apart
        if mask is not None:
            wanted = by_tile(mask, geometry.patch, geometry.tiling)
        elif self.tokens(run).words is not None:
            wanted = attended(held.share, apart, geometry.tiling)
            if moves is not None:
                wanted = jnp.where(apart > 0, wanted, 0.0)
        scores = dilated(wanted, geometry.tiling.counts, self.region.reach)
        tiles = chosen(scores, self.region)
        # Only the core is kept at the end: halo and sampled tiles get the source's
        # latents again.
        far = beyond(apart, tiles[:, : self.region.core], source_velocity)
        limit = self.region.limit if mask is None else math.inf
        return Chosen(tiles, scores, far, (far > limit).any())


@dataclass(frozen=True)
class RegionSteps:
    """Consecutive steps that run the region's tokens, with or without its halo.

    Attributes:
        first: the first step.
        last: the step after the last.
        cache: the step cache.
        expert: the name of the transformer.
        region: how the tokens are chosen and run.
        part: the index of the state of these steps in `RegionState.parts`.
        halo: whether the halo is open.
        following: the steps without the halo, if these steps have the halo and are not
            the region's last ones; else None.
        budgets: token budgets of the region's tokens, ranked in the order of the
            region's tiles; None without budgets.
    """

    first: int
    last: int
    cache: StepCache
    expert: str
    region: Region
    part: int
    halo: bool
    following: "RegionSteps | None" = None
    budgets: ActiveSets | None = None

    @property
    def budgeted(self) -> BudgetedTokens | None:
        """The token budgets applied to these steps; None without budgets."""
        if self.budgets is None:
            return None
        tiles = self.region.tiles if self.halo else self.region.closed_tiles
        return BudgetedTokens(self.budgets, self.first, self.last, tiles, 0, self.cache)

    def __call__(self, run: Run, state: RunState, until: Int[Array, " b"]) -> RunState:
        """Runs these steps up to `until`; returns the state unchanged if the next step
        is not one of them."""
        assert state.region is not None
        last, at = jnp.minimum(until[0], self.last), state.step[0]
        here = (at >= self.first) & (at < last)
        all_run = state.region.chosen.all_tokens
        state = self.run_whole(run, state, jnp.where(here & all_run, last, 0))
        count = jnp.where(here & ~all_run, last - at, 0)
        state = jax.lax.fori_loop(
            0, count, lambda _, state: self.step(run, state), state
        )
        ended = (count > 0) & (last == self.last)
        return when(ended, lambda state: self.end(run, state), state)

    @property
    def whole(self) -> WholeSteps | BudgetSteps:
        """These steps for the tokens of the whole video."""
        if self.budgets is None:
            return WholeSteps(self.first, self.last, self.cache, self.expert)
        return BudgetSteps(
            self.first, self.last, self.expert, self.budgets, True, self.cache
        )

    def run_whole(self, run: Run, state: RunState, until: Array) -> RunState:
        """Runs these steps for the whole video, up to `until`."""
        return self.whole(run, state, jnp.broadcast_to(until, state.step.shape))

    def ranked(self, run: Run, state: RunState) -> RunState:
        """The state with the tiles of the whole video ranked for token budgets by how
        much they differ from the source, as those of the region are."""
        if not isinstance(self.whole, BudgetSteps):
            return state
        assert state.region is not None and state.budgets is not None
        order = self.whole.of(run).by_change(state.region.chosen.scores)
        return state._replace(budgets=state.budgets._replace(order=order))

    def tokens(self, run: Run, state: RunState) -> TileTokens:
        """The active tokens and what they attend to."""
        assert state.region is not None
        tiling, keys = run.geometry.tiling, state.keys
        bias = token_bias(self.region, tiling, self.halo)
        if self.region.context != "held":
            keys = ()
        return TileTokens(tiling, self.tiles(state.region.chosen), keys, bias)

    def tiles(self, region: Chosen) -> Array:
        """The tiles that these steps run."""
        if self.halo:
            return region.tiles
        return region.tiles[:, core_and_sampled(self.region)]

    def step(self, run: Run, state: RunState) -> RunState:
        """Runs one step of the region."""
        assert state.region is not None
        part, keys, work = self.moved(run, state, state.region.parts[self.part])
        tiles = self.tiles(state.region.chosen).shape[1]
        parts = list(state.region.parts)
        parts[self.part] = part
        return state._replace(
            step=state.step + 1,
            work=state.work + tiles / run.geometry.tiling.count * work,
            region=state.region._replace(parts=tuple(parts)),
            keys=keys,
        )

    def moved(
        self, run: Run, state: RunState, part: RegionPart
    ) -> tuple[RegionPart, Any, Array]:
        """Runs one step on the region's part of the state.

        Returns:
            The part after the step, the keys and values of all tiles, and the work of
            the step relative to a full pass of the region's tokens.
        """
        tokens, i = self.tokens(run, state), state.step
        if self.budgeted is not None:
            scope, none = RegionOfVideo(run, self.expert, tokens), jnp.float32(0)
            before = BudgetedRun(
                part.latents, part.solver, state.keys, part.cache, none
            )
            ours = self.budgeted(scope, i, before)
            part = RegionPart(ours.latents, ours.solver, ours.state)
            return part, ours.keys, ours.share
        forward = run.forward(self.expert, part.latents, i, tokens)
        velocity, held, cache, work = self.cache.step(
            i, run.solver.schedule, forward, Held(tokens.keys), part.cache
        )
        keys, noise = state.keys if tokens.keys == () else held.keys, run.noise(i)
        if noise is not None:
            assert state.region is not None
            noise = self.active(run, state.region.chosen, noise)
        latents, solver = solving.step(
            run.solver,
            i,
            part.latents,
            velocity,
            part.solver,
            noise,
            forward.moves(),
        )
        return RegionPart(latents, solver, cache), keys, work

    def begin(self, run: Run, state: RunState, latents: Latents) -> RunState:
        """Starts this part of the region's state from the latents of the whole
        video."""
        assert state.region is not None
        active = self.active(run, state.region.chosen, latents)
        return self.with_part(run, state, active)

    def active(self, run: Run, region: Chosen, latents: Latents) -> Latents:
        """Latents of the whole video, cut down to the patches of the tiles that these
        steps run."""
        geometry = run.geometry
        active = taken(tiles_of(geometry, latents), self.tiles(region))
        return geometry.replaced(latents, active)

    def with_part(self, run: Run, state: RunState, latents: Latents) -> RunState:
        """The state with this part at these latents, with solver and step cache (or
        budgets) reset."""
        assert state.region is not None
        region = state.region
        if self.budgeted is not None:
            cache: Any = self.budgeted.init(latents)
        else:
            tokens = self.tokens(run, state)
            cache = self.cache.init(
                run.forward(self.expert, latents, state.step, tokens)
            )
        parts = list(region.parts)
        solver = solving.init(run.solver, latents)
        parts[self.part] = RegionPart(latents, solver, cache)
        return state._replace(region=region._replace(parts=tuple(parts)))

    def end(self, run: Run, state: RunState) -> RunState:
        """Starts the steps without the halo, or pastes the region into the source's
        latents if these steps are the last of the region."""
        assert state.region is not None
        if self.following is None:
            return self.pasted(run, state)
        latents = state.region.parts[self.part].latents
        video = run.geometry.named(latents)[run.geometry.video]
        # Replicated on every device: the patches are small, and indexing sharded ones
        # gave wrong results on a mesh with three axes (jax 0.10.2).
        video = constrain(video, None, None, None, None)
        video = video[:, core_and_sampled(self.region)]
        latents = run.geometry.replaced(latents, video)
        return self.following.with_part(run, state, latents)

    def pasted(self, run: Run, state: RunState) -> RunState:
        """The state with the core's patches pasted into the source's latents before
        step K2, and the solver reset."""
        assert state.region is not None and run.inputs.source is not None
        geometry, core = run.geometry, self.region.core
        part = state.region.parts[self.part]
        patches = geometry.named(part.latents)[geometry.video][:, :core]
        tiles = tiles_of(geometry, run.inputs.source.end)
        tiles = written(tiles, state.region.chosen.tiles[:, :core], patches)
        latents = with_tiles(geometry, part.latents, tiles)
        return state._replace(
            latents=latents,
            solver=solving.init(run.solver, latents),
        )
