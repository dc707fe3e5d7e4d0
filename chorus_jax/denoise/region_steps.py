"""Stage 2: a full step that shows where two videos differ, then steps of that region.

While the region is run there are the patches of its tiles only. Before stage 3 they are
put back among the source's. If the videos differ beyond the region too, its steps are
run with all tokens instead, as if there were none.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float32, Int

from chorus_jax.denoise.full_steps import Carry, Steps
from chorus_jax.denoise.regions import (
    HeldContext,
    RegionPlan,
    attended,
    beyond,
    by_tile,
    chosen,
    core_and_sampled,
    dilated,
    disagreement,
    token_bias,
)
from chorus_jax.denoise.sampler import Conditions, guided
from chorus_jax.devices.sharding import constrain
from chorus_jax.families.wan.attention import Alone, Around, Held, Keys, TileKeys
from chorus_jax.nets.tokens import Size, Tiling, from_patches, to_patches


class Source(NamedTuple):
    """What a run takes from an earlier request: its latents before steps K1 and K2, and
    its velocity at K1."""

    start: Float32[Array, "b f h w i"]
    velocity: Float32[Array, "b f h w o"]
    end: Float32[Array, "b f h w i"]


class RegionCarry(NamedTuple):
    """What a region step hands to the next: the active tiles' patches and so on."""

    patches: Float32[Array, "b k s p"]
    solver: Any
    cache: Any
    keys: TileKeys | None


class Chosen(NamedTuple):
    """The tiles run (core, halo, sampled), each tile's score, how far the videos differ
    `beyond` the core, and whether that is too far: then all tokens were run."""

    tiles: Int[Array, "b k"]
    scores: Float32[Array, "b t"]
    beyond: Float32[Array, " b"]
    whole: Bool[Array, ""]


class RegionSteps(NamedTuple):
    """Stage 2 from its last full step on."""

    run: Steps
    region: RegionPlan
    tiling: Tiling

    def __call__(
        self, carry: Carry, source: Source, mask: Array | None, words: Array | None
    ) -> tuple[Carry, Chosen]:
        """What is left before K2, and what was chosen.

        Of a batch all rows are run whole if one of them differs too far. A `mask` is
        the caller's word that the region is enough.
        """
        self.region.check(self.tiling)
        run, regional = self.run, self.run.plan.regional
        opening = regional.start - 1
        velocity, keys, share = self.observed(carry.latents, opening, words)
        scores, apart = self.scores(velocity, source, mask, share)
        tiles = chosen(scores, self.region)
        limit = self.region.limit if mask is None else math.inf
        # Halo and sampled tiles are the source's again at the end.
        far = beyond(apart, tiles[:, : self.region.core], source.velocity)
        found = Chosen(tiles, scores, far, (far > limit).any())
        carry = run.moved(carry, opening, lambda: velocity)
        only = partial(self.only, carry, keys, tiles, source)
        if limit == math.inf:
            return only(), found
        every = partial(run.full, carry, regional.start, regional.stop)
        return jax.lax.cond(found.whole, every, only), found

    def only(
        self, carry: Carry, keys: TileKeys | None, tiles: Array, source: Source
    ) -> Carry:
        """What region steps leave, among the source's latents at K2."""
        patch, core = self.patch, self.region.core
        patches = taken(self.tiling.tiles(to_patches(carry.latents, patch)), tiles)
        found = self.both(self.begun(patches, keys), tiles)
        end = self.tiling.tiles(to_patches(source.end, patch))
        end = end.at[jnp.arange(len(end))[:, None], tiles[:, :core]].set(
            found.patches[:, :core]
        )
        latents = from_patches(self.tiling.tokens(end), self.tiling.grid, patch)
        kept = self.run.keeping(carry.kept, latents, self.run.plan.region_until)
        return self.run.begun(latents, kept)

    @property
    def patch(self) -> Size:
        """The model's patches."""
        return self.run.model.config.patch

    def scores(
        self, velocity: Array, source: Source, mask: Array | None, share: Array | None
    ) -> tuple[Array, Array]:
        """How much each tile is to differ, dilated, and how far the velocities are
        apart there, both [b t]."""
        apart = disagreement(velocity, source.velocity, self.patch, self.tiling)
        sought = apart
        if mask is not None:
            sought = by_tile(mask, self.patch, self.tiling)
        elif share is not None:
            sought = attended(share, apart, self.tiling)
        return dilated(sought, self.tiling.counts, self.region.reach), apart

    def both(self, carry: RegionCarry, tiles: Array) -> RegionCarry:
        """All region steps: with the halo, then without."""
        regional, skipped = self.run.plan.regional, self.run.plan.skipped
        closing = self.region.closing(regional)
        if closing in skipped and regional.start < closing < regional.stop:
            raise ValueError(
                f"step {closing} is the first after the halo closes: it cannot be "
                "skipped; close the halo at another step"
            )
        carry = self.steps(carry, tiles, regional.start, closing, halo=True)
        kept = core_and_sampled(self.region)
        # Whole on every device: patches are few numbers, and a choice among split ones
        # came out wrong on a mesh of three axes (jax 0.10.2).
        patches = constrain(carry.patches, None, None, None, None)
        carry = self.begun(patches[:, kept], carry.keys)
        return self.steps(carry, tiles[:, kept], closing, regional.stop, halo=False)

    def begun(self, patches: Array, keys: TileKeys | None) -> RegionCarry:
        """At these patches with no history."""
        solver, cache = self.run.solver, self.run.cache
        left = (patches, self.fresh_like(patches, keys))
        return RegionCarry(patches, solver.init(patches), cache.init(left), keys)

    def fresh_like(self, patches: Array, keys: TileKeys | None) -> Any:
        """The shapes of a step's own keys and values."""
        if keys is None:
            return None
        layers, rows, _, size, _ = keys.key.shape
        config = self.run.model.config
        tokens = patches.shape[1] * size
        shape = (layers, rows, tokens, config.heads, config.head_width)
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(shape, x.dtype), Keys(*keys))

    def observed(
        self, latents: Array, i: int, words: Array | None
    ) -> tuple[Array, TileKeys | None, Array | None]:
        """The velocity of a full step, the keys and values that region steps hold, and
        the attention to the words that differ, if the region is to be found by it."""
        model, given = self.run.model, self.watching(i, words)
        rows = given.context.bias.shape[0]
        times = given.times.at(i, rows)
        tokens = jnp.tile(model.embed(latents), (rows // len(latents), 1, 1))
        tokens, (keys, share) = model.blocks_observed(
            tokens, times.blocks, given.rotary, given.context
        )
        out = model.head(tokens, times.head, self.tiling.grid)
        velocity = guided(out, given.guidance)
        # The negative prompt's rows come last, and have no such words.
        if share is not None:
            share = share[:, : len(latents)].mean(axis=0)
        if not isinstance(self.region.context, HeldContext):
            return velocity, None, share
        return velocity, TileKeys.of(keys, self.tiling), share

    def watching(self, i: int, words: Array | None) -> Conditions:
        """The conditions of a step that looks where the region is."""
        given = self.run.at(i)
        if words is None or self.region.found_by != "attention":
            return given
        rows, m = given.context.bias.shape
        none = jnp.zeros((rows - len(words), m), jnp.float32)
        watched = jnp.concatenate([words.astype(jnp.float32), none])
        return given._replace(context=given.context._replace(watched=watched))

    def steps(
        self, carry: RegionCarry, tiles: Array, first: int, last: int, halo: bool
    ) -> RegionCarry:
        """Steps `first` to `last` (exclusive) of these tiles."""
        if first == last:
            return carry
        table = self.tiling.tiles(self.run.conditions.rotary)[:, tiles]
        rotary = table.reshape(2, len(tiles), -1, table.shape[-1])

        def step(carry: RegionCarry, i: Array) -> tuple[RegionCarry, None]:
            def compute() -> tuple[Array, Keys | None]:
                return self.velocity(carry, tiles, rotary, i, halo)

            left, cache = self.run.cache.step(i, compute, carry.cache)
            velocity, fresh = left
            patches, state = self.run.solver.step(
                i, carry.patches, velocity, carry.solver
            )
            keys = carry.keys
            if keys is not None and fresh is not None:
                keys = keys.written(self.rows(tiles), fresh)
            return RegionCarry(patches, state, cache, keys), None

        return jax.lax.scan(step, carry, jnp.arange(first, last))[0]

    def velocity(
        self, carry: RegionCarry, tiles: Array, rotary: Array, i: Array, halo: bool
    ) -> tuple[Float32[Array, "b k s p"], Keys | None]:
        """The guided velocity of the active patches, and their keys and values."""
        model, given = self.run.model, self.run.at(i)
        rows = given.context.bias.shape[0]
        x, times = self.rows(carry.patches), given.times.at(i, rows)
        tokens, (keys, _) = model.blocks_observed(
            model.embed_patches(x.reshape(rows, -1, x.shape[-1])),
            times.blocks,
            self.rows(rotary, axis=1),
            given.context,
            self.around(carry.keys, tiles, halo),
        )
        out = guided(model.head_patches(tokens, times.head), given.guidance)
        out = out.reshape(*carry.patches.shape[:3], -1)
        return out, None if carry.keys is None else keys

    def around(self, keys: TileKeys | None, tiles: Array, halo: bool) -> Around:
        """What the active tokens attend to."""
        if keys is not None:
            return Held(keys, self.rows(tiles))
        bias = token_bias(self.region, self.tiling, halo)
        rows = self.run.conditions.context.bias.shape[0]
        return Alone(jnp.broadcast_to(bias, (rows, len(bias))), self.tiling.size)

    def rows(self, x: Array, axis: int = 0) -> Array:
        """One row a request to one a branch and request."""
        branches = 1 if self.run.conditions.guidance is None else 2
        return jnp.concatenate([x] * branches, axis=axis)


def taken(x: Float32[Array, "b t s p"], tiles: Int[Array, "b k"]) -> Array:
    """These tiles of each row, [b k s p]."""
    return x[jnp.arange(len(x))[:, None], tiles]
