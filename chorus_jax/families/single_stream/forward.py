"""One pass of a transformer with a single stream of video tokens, in pieces."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.devices.sharding import constrain
from chorus_jax.families.forward import (
    ALL,
    BranchReuse,
    Held,
    Latents,
    TextGains,
    TileTokens,
    TokenSet,
)
from chorus_jax.families.single_stream.block import BRANCHES
from chorus_jax.families.single_stream.conditions import StreamConditions, Times
from chorus_jax.families.single_stream.transformer import SingleStreamTransformer
from chorus_jax.nets.guidance import guided
from chorus_jax.nets.modulation import TokenTimes
from chorus_jax.nets.tile_keys import Keys, TileKeys, layer_of, with_layer
from chorus_jax.nets.token_attention import (
    Alone,
    AttendedKeys,
    HeldKeys,
    Observed,
)
from chorus_jax.nets.tokens import from_patches, to_patches


def of_run(values: Int[Array, " n"], tokens: TokenSet, count: int) -> Int[Array, "b k"]:
    """Selects from one value per token of the video those of the tokens that are run,
    for each of `count` requests."""
    if not isinstance(tokens, TileTokens):
        return jnp.broadcast_to(values, (count, len(values)))
    return tokens.tiling.tiles(values, axis=0)[tokens.tiles].reshape(count, -1)


@dataclass(frozen=True, eq=False)
class SingleStreamForward:
    """One pass in pieces (see `families.forward.Forward`); subclasses add `signal`.

    Attributes:
        model: the transformer.
        conditions: what all passes of the run read.
        latents: noisy latents, or patches of the active tiles.
        i: the step of each request.
        gains: the gains of cross-attention to the prompt.
        tokens: the tokens that this pass runs.
        unroll: whether the layers are unrolled instead of scanned, so that the
            compiler's cost figures count each.
    """

    model: SingleStreamTransformer
    conditions: StreamConditions
    latents: Any
    i: Int[Array, " b"]
    gains: TextGains | None = None
    tokens: TokenSet = ALL
    unroll: bool = False

    @property
    def times(self) -> Times:
        """The modulation of each row."""
        return self.conditions.times.at(self.rows(self.i))

    def of_tokens(self, rows: Float[Array, "r *k c"]) -> Array | TokenTimes:
        """Expands modulation inputs per row and kind to one per token."""
        kinds = self.kinds()
        return rows if kinds is None else TokenTimes(rows, self.rows(kinds))

    def kinds(self) -> Int[Array, "b n"] | None:
        """The kind of each token that is run (see `FrozenTokens`)."""
        frozen = self.conditions.frozen
        return (
            None if frozen is None else of_run(frozen.kinds, self.tokens, len(self.i))
        )

    def moves(self) -> Latents | None:
        """A mask of the latents that this step may change; None if all may change."""
        kinds, frozen = self.kinds(), self.conditions.frozen
        if kinds is None or frozen is None:
            return None
        moving = jnp.take_along_axis(frozen.moves[self.i], kinds, axis=1)
        if isinstance(self.tokens, TileTokens):
            return moving.reshape(*self.latents.shape[:3], 1)  # all of a token's patch
        size = (*kinds.shape, math.prod(self.model.config.patch))
        flags = jnp.broadcast_to(moving[..., None].astype(jnp.float32), size)
        return jax.tree.map(lambda x: x > 0, self.arranged(flags))

    def rows(self, x: Array) -> Array:
        """Repeats an array with one row per request to one row per branch and
        request."""
        return jnp.concatenate([x] * self.conditions.branches)

    def stem(self) -> Float[Array, "r n c"]:
        """The embedded patches, the same in all branches."""
        patches = self.with_images(self.patches(self.latents))
        tokens = constrain(self.model.patch(patches), None, "tokens", None)
        # One request has a row per branch: only these are many enough to be split.
        return constrain(self.rows(tokens), "batch", "tokens", None)

    def patches(self, latents: Latents) -> Float[Array, "r n p"]:
        """Latents or velocities cut into one patch per token, in the tokens' order."""
        if isinstance(self.tokens, TileTokens):
            return latents.reshape(len(latents), -1, latents.shape[-1])
        return to_patches(latents, self.model.config.patch)

    def arranged(self, patches: Array) -> Latents:
        """The reverse of `patches`, for any number of channels."""
        if isinstance(self.tokens, TileTokens):
            return patches.reshape(len(patches), *self.latents.shape[1:3], -1)
        grid = self.model.grid(self.latents)
        return from_patches(patches, grid, self.model.config.patch)

    def with_images(self, patches: Float[Array, "b n p"]) -> Float[Array, "b n q"]:
        """Patches with image channels appended, for each latent pixel of a patch."""
        images, tokens = self.conditions.images, self.tokens
        if images is None:
            return patches
        if isinstance(tokens, TileTokens):
            rows = jnp.arange(len(images))[:, None]
            active = tokens.tiling.tiles(images)[rows, tokens.tiles]
            images = active.reshape(len(images), -1, images.shape[-1])
        cut = (*patches.shape[:2], math.prod(self.model.config.patch), -1)
        parts = [x.reshape(cut) for x in (patches, images)]
        return jnp.concatenate(parts, axis=-1).reshape(*cut[:2], -1)

    def blocks(
        self,
        tokens: Float[Array, "r n c"],
        first: int = 0,
        last: int | None = None,
        reuse: BranchReuse | None = None,
    ) -> tuple[Float[Array, "r n c"], Observed]:
        """Runs these layers in a scan. Returns the tokens and the layers' side outputs.

        A pass of all layers over a region writes its keys into the held ones, layer by
        layer; a pass of some layers leaves them in a stack, for `hold`.
        """
        words = getattr(self.tokens, "words", None)
        needed = self.needed_branches
        context = self.conditions.amplified(self.gains, words)
        rotary, attended_keys = self.rotary(), self.attended_keys()
        times = self.of_tokens(self.times.blocks)

        def layer(
            tokens: Array, held: TileKeys | None, scanned: Sequence[Any]
        ) -> tuple[Array, Observed]:
            block, text, image, passive, branches = scanned
            given = context._replace(text=text, image=image)
            attended = attended_keys
            if isinstance(attended_keys, HeldKeys) and held is not None:
                attended = attended_keys._replace(keys=held)
            rows = self.passive(passive)
            tokens, observed = block(
                tokens, times, rotary, given, attended, branches, rows, needed
            )
            return tokens, observed._replace(keys=self.held_layout(observed.keys))

        perturbed = self.conditions.perturbation
        layers = None if perturbed is None else perturbed.layers
        if layers is not None and layers.ndim == 2:
            layers = layers[self.i].T
        stacked = (self.model.layers, context.text, context.image, layers)
        held = attended_keys.keys if isinstance(attended_keys, HeldKeys) else None
        places = jnp.arange(self.model.config.depth)[first:last]
        if (first, last) == (0, None):
            every = partial(self.written, layer)
            (tokens, held), observed = jax.lax.scan(
                every, (tokens, held), (*stacked, reuse, places), unroll=self.unroll
            )
            return tokens, observed if held is None else observed._replace(keys=held)

        def placed(tokens: Array, scanned: tuple) -> tuple[Array, Observed]:
            place, branches = scanned
            # Indexed one by one: a slice of the layers would be a copy of weights.
            given = jax.tree.map(lambda x: x[place], stacked)
            return layer(tokens, layer_of(held, place), (*given, branches))

        return jax.lax.scan(placed, tokens, (places, reuse), unroll=self.unroll)

    def written(
        self, layer: Callable[..., Any], carried: tuple, scanned: tuple
    ) -> tuple[tuple, Observed]:
        """A layer whose fresh keys are written into the held ones, if there are any: as
        a stack of all layers they would need memory of their own."""
        (tokens, held), (*given, place) = carried, scanned
        if held is None:
            tokens, observed = layer(tokens, None, given)
            return (tokens, None), observed
        assert isinstance(self.tokens, TileTokens)
        before = layer_of(held, place)
        tokens, observed = layer(tokens, before, given)
        after = before.written(self.rows(self.tokens.tiles), observed.keys)
        carried = tokens, with_layer(held, place, after)
        return carried, observed._replace(keys=None)

    def passive(self, layer: Bool[Array, " *b"] | None) -> Bool[Array, " r"] | None:
        """A mask of the rows whose tokens attend only to themselves: those of the
        perturbed branch, in the layers that it perturbs."""
        if layer is None:
            return None
        branch = jnp.arange(self.conditions.branches) == self.conditions.branches - 1
        here = jnp.broadcast_to(layer, len(self.i))
        return (branch[:, None] & here[None]).reshape(-1)

    def held_layout(self, keys: Keys | None) -> Keys | TileKeys | None:
        """The keys of a layer in the layout in which they are held; None if they are
        not held.

        They are arranged in tiles layer by layer: stacked over the layers they are the
        largest array of a run, and rearranging that would need its memory twice.
        """
        if not self.keeps_keys or keys is None:
            return None
        if isinstance(self.tokens, TileTokens) or self.tokens.tiling is None:
            return keys
        return TileKeys.of(keys, self.tokens.tiling)

    @property
    def layers(self) -> int:
        """The number of layers."""
        return self.model.config.depth

    @property
    def branch_names(self) -> tuple[str, ...]:
        """The branches of a layer."""
        return BRANCHES

    @property
    def needed_branches(self) -> tuple[bool, bool, bool]:
        """For each branch, whether its keys or its attention to words are needed."""
        words = getattr(self.tokens, "words", None)
        return (self.keeps_keys, words is not None, False)

    def branches(self, *sides: Observed) -> tuple[Array, ...]:
        """The outputs of the branches of all layers."""
        outputs = [side.outputs for side in sides]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *outputs)

    def unknown_branches(self) -> tuple[Array, ...]:
        """Zeros of the shapes of `branches`."""
        tokens = jax.eval_shape(self.stem)
        shape = (self.layers, *tokens.shape)
        return tuple(jnp.zeros(shape, tokens.dtype) for _ in self.branch_names)

    @property
    def keeps_keys(self) -> bool:
        """Whether the pass writes or reads held keys and values."""
        if isinstance(self.tokens, TileTokens):
            return self.tokens.keys != ()
        return self.tokens.tiling is not None

    def rotary(self) -> Float[Array, "2 *r n d"]:
        """Rotary tables of the tokens: of all, or of each row's active tiles."""
        table = self.conditions.rotary
        if not isinstance(self.tokens, TileTokens):
            return table
        tiles = self.tokens.tiling.tiles(table)[:, self.tokens.tiles]
        rows = tiles.reshape(2, len(self.tokens.tiles), -1, table.shape[-1])
        return jnp.concatenate([rows] * self.conditions.branches, axis=1)

    def attended_keys(self) -> AttendedKeys:
        """The keys that self-attention reads: this pass's own, or held keys of all
        tiles."""
        tokens = self.tokens
        if not isinstance(tokens, TileTokens):
            return Alone()
        if self.keeps_keys:
            count = tokens.tiling.count
            return HeldKeys(tokens.keys, self.rows(tokens.tiles), count)
        rows = len(tokens.tiles) * self.conditions.branches
        bias = jnp.broadcast_to(tokens.bias, (rows, len(tokens.bias)))
        return Alone(bias, tokens.tiling.size)

    def head(self, tokens: Float[Array, "r n c"]) -> Latents:
        """The guided velocity, in float32."""
        return self.arranged(self.guided(self.velocity_patches(tokens)))

    def velocity_patches(self, tokens: Float[Array, "r n c"]) -> Float[Array, "r n p"]:
        """The patches of each row's velocity, before guidance."""
        return self.model.out(tokens, self.of_tokens(self.times.head))

    def velocities(self, tokens: Float[Array, "r n c"]) -> Latents:
        """The velocity of each row, in the layout of the latents, in float32."""
        return self.arranged(self.velocity_patches(tokens))

    def guide(self, velocities: Latents) -> Latents:
        """Combines the velocities of all branches into the guided velocity."""
        return self.arranged(self.guided(self.patches(velocities)))

    def guided(self, out: Float[Array, "r n p"]) -> Float[Array, "b n p"]:
        """Combines the velocity patches of all branches into those of the guided
        velocity."""
        given, perturbed, rows = (
            self.conditions.guidance,
            self.conditions.perturbation,
            jnp.arange(len(self.i)),
        )
        if given is not None and given.ndim == 2:
            given = given[self.i, rows]
        if perturbed is not None and perturbed.scale.ndim == 2:
            scales = (perturbed.scale[self.i, rows], perturbed.rescale[self.i, rows])
            perturbed = perturbed._replace(scale=scales[0], rescale=scales[1])
        return guided(out, given, perturbed, self.conditions.star is not None)

    def prompt(self) -> "SingleStreamForward":
        """The pass of the prompt's branch alone."""
        count, tokens = len(self.i), self.tokens
        if isinstance(tokens, TileTokens):
            keys = jax.tree.map(lambda x: x[:, :count], tokens.keys)
            tokens = replace(tokens, keys=keys)
        return replace(self, conditions=self.conditions.prompt(count), tokens=tokens)

    def hold(self, held: Held, *sides: Observed) -> Held:
        """The state after the pass: keys and values of all tiles, and the mean over all
        layers of the attention to the requested words."""
        layers = jax.tree.map(lambda *x: jnp.concatenate(x), *sides)
        if isinstance(self.tokens, TileTokens):
            if not self.keeps_keys:
                return held
            if isinstance(layers.keys, TileKeys):
                return Held(layers.keys)
            active = self.rows(self.tokens.tiles)
            return Held(held.keys.written(active, layers.keys))
        keys = () if layers.keys is None else layers.keys
        if layers.share is None:
            return Held(keys)
        # The rows of other branches come last and have no such words.
        return Held(keys, layers.share[:, : len(self.i)].mean(0, jnp.float32))
