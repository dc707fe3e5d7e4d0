"""The Wan diffusion transformer (arXiv 2503.20314): velocity of video latents.

`WanDiT` holds the weights and makes once what does not change from step to step: `keys`
of the text in all layers, `times` (modulation of all steps). `WanForward` is one pass
in pieces. Neither knows schedulers, requests or regions.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from chorus_jax.devices.sharding import constrain
from chorus_jax.families.forward import (
    ALL,
    BranchReuse,
    Held,
    TextGains,
    TileTokens,
    TokenSet,
    evaluate,
)
from chorus_jax.families.wan.attention import (
    Alone,
    Around,
    Context,
    HeldKeys,
    Keys,
    Observed,
    TileKeys,
)
from chorus_jax.families.wan.block import (
    Block,
    Head,
    ImageEmbedding,
    Mlp,
    PatchEmbed,
    gelu_tanh,
)
from chorus_jax.families.wan.conditions import Times, WanConditions, tail_bias
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.nets.guidance import guided
from chorus_jax.nets.layers import Linear, sinusoidal, stack
from chorus_jax.nets.rotary import rotary_table
from chorus_jax.nets.tokens import Size, from_patches, to_patches


class WanDiT(nnx.Module):
    """The Wan transformer; parameters of its layers are stacked and scanned."""

    def __init__(self, config: WanConfig, *, rngs: nnx.Rngs):
        c, dtype = config.width, jnp.dtype(config.dtype)
        self.config = config
        self.patch = PatchEmbed(config.patch, config.in_channels, c, dtype, rngs)
        # The time embedding stays in float32: bfloat16 cannot tell step 999 from 1000.
        self.time = Mlp(
            config.time_width, c, c, jax.nn.silu, jnp.dtype("float32"), rngs
        )
        self.modulation = Linear(c, 6 * c, dtype=dtype, rngs=rngs)
        self.text = Mlp(config.text_width, c, c, gelu_tanh, dtype, rngs)
        self.image = (
            None
            if config.image_width is None
            else ImageEmbedding(config.image_width, c, dtype, rngs)
        )
        self.layers = stack(lambda rngs: Block(config, rngs=rngs), config.depth, rngs)
        self.out = Head(config, rngs=rngs)

    def __call__(
        self,
        latents: Float[Array, "b f h w i"],
        timestep: Float[Array, " b *n"],
        text: Float[Array, "b m t"],
        image: Float[Array, "b e x"] | None = None,
    ) -> Float[Array, "b f h w o"]:
        """Velocity at `timestep` (0 to 1000), one per request or one per token.

        `text` holds the text encoder's output with all its padding.
        """
        conditions = self.conditions(latents, timestep, text, image)
        return evaluate(self.forward(conditions, latents, jnp.arange(len(latents))))[0]

    def conditions(
        self,
        latents: Float[Array, "b f h w i"],
        timestep: Float[Array, " b *n"],
        text: Float[Array, "b m t"],
        image: Float[Array, "b e x"] | None = None,
    ) -> WanConditions:
        """What one pass without guidance reads, a timestep per request or token."""
        return WanConditions(
            self.context(text, image=image),
            self.times(timestep),
            rotary_table(self.grid(latents), self.config.head_width),
            None,
        )

    def forward(
        self,
        conditions: WanConditions,
        latents: Float[Array, "b ..."],
        i: Int[Array, " b"],
        gains: TextGains | None = None,
        tokens: TokenSet = ALL,
    ) -> "WanForward":
        """The pass at step `i` of each request (see `families.forward.Transformer`)."""
        return WanForward(self, conditions, latents, i, gains, tokens)

    def grid(self, latents: Float[Array, "b f h w i"]) -> Size:
        """Tokens along frames, height and width. ValueError if patches do not fit."""
        sizes, patch = latents.shape[1:4], self.config.patch
        if any(size % p for size, p in zip(sizes, patch)):
            raise ValueError(
                f"latents of size {tuple(sizes)} do not divide into {patch=}"
            )
        f, h, w = (size // p for size, p in zip(sizes, patch))
        return f, h, w

    def times(self, timestep: Float[Array, " *t"]) -> Times:
        """Modulation inputs of timesteps (0 to 1000) of any shape."""
        features = sinusoidal(timestep.astype(jnp.float32), self.config.time_width)
        embedding = self.time(features).astype(self.config.dtype)
        blocks = self.modulation(jax.nn.silu(embedding)).astype(jnp.float32)
        return Times(
            blocks=blocks.reshape(*timestep.shape, 6, self.config.width),
            head=embedding.astype(jnp.float32),
        )

    def context(
        self,
        text: Float[Array, "b m t"],
        lengths: Int[Array, " b"] | None = None,
        image: Float[Array, "b e x"] | None = None,
    ) -> Context:
        """Keys and values of the text in all layers.

        Without `lengths` every row of `text` is a key. With them, rows from `lengths`
        on must be zero: Wan attends to zeros up to `text_limit` rows, which all give
        the same key and value. One of them stands for all, with the logarithm of their
        number as bias: the same output (to rounding) for a fraction of the keys.
        Raises ValueError if the image stream and `image` do not go together.
        """
        if (image is None) != (self.image is None):
            raise ValueError(
                f"image is {'missing' if image is None else 'given'}, but the model "
                f"has image_width={self.config.image_width}"
            )
        b, m = text.shape[:2]
        bias = jnp.zeros((b, m), jnp.float32)
        if lengths is not None:
            bias = tail_bias(lengths, m, self.config.text_limit)
        tokens = self.text(text)
        pictures = self.image(image) if self.image and image is not None else None

        def project(carry: None, layer: Block) -> tuple[None, tuple[Keys, Keys | None]]:
            return carry, layer.cross.context(tokens, pictures)

        _, (words, picture_keys) = jax.lax.scan(project, None, self.layers)
        return Context(words, bias, picture_keys)


@dataclass(frozen=True, eq=False)
class WanForward:
    """One pass through `WanDiT` (see `families.forward.Forward`)."""

    model: WanDiT
    conditions: WanConditions
    latents: Any
    i: Int[Array, " b"]
    gains: TextGains | None = None
    tokens: TokenSet = ALL
    unroll: bool = False

    @property
    def times(self) -> Times:
        """The modulation of each row."""
        return self.conditions.times.at(self.rows(self.i))

    def rows(self, x: Array) -> Array:
        """A row per request as a row per branch and request."""
        return jnp.concatenate([x] * self.conditions.branches)

    def signal(self, name: str) -> Float[Array, "r ..."]:
        """The time embedding of each row, or its six-way projection; both are what
        TeaCache watches for Wan (LiewFeng/TeaCache, TeaCache4Wan2.1)."""
        signals = {"embedding": self.times.head, "modulation": self.times.blocks}
        if name not in signals:
            raise ValueError(f"Wan has the signals {', '.join(signals)}, got {name!r}")
        return signals[name]

    def stem(self) -> Float[Array, "r n c"]:
        """The patches as tokens: the same in all branches."""
        patches = self.latents
        if isinstance(self.tokens, TileTokens):
            patches = patches.reshape(len(patches), -1, patches.shape[-1])
        else:
            patches = to_patches(patches, self.model.config.patch)
        patches = self.with_images(patches)
        tokens = constrain(self.model.patch(patches), "batch", "tokens", None)
        return self.rows(tokens)

    def with_images(self, patches: Float[Array, "b n p"]) -> Float[Array, "b n q"]:
        """The patches with the channels of the images behind their own, pixel by pixel
        of the latents."""
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
        """The tokens after these layers, which are scanned, and their side outputs.

        Raises:
            ValueError: with `reuse` for a pass whose keys or shares are asked for.
        """
        words = getattr(self.tokens, "words", None)
        if reuse is not None and (self.keeps_keys or words is not None):
            raise ValueError(
                "a pass that reuses branches leaves no keys and no attention shares: "
                "run it without reuse where a region needs them"
            )
        context = self.conditions.amplified(self.gains, words)
        rotary, times, around = self.rotary(), self.times.blocks, self.around()

        def layer(tokens: Array, scanned: tuple) -> tuple[Array, Observed]:
            block, text, image, keys, branches = scanned
            given = context._replace(text=text, image=image)
            near = around
            if isinstance(around, HeldKeys):
                near = around._replace(keys=keys)
            tokens, observed = block(tokens, times, rotary, given, near, branches)
            return tokens, observed._replace(keys=self.kept(observed.keys))

        keys = around.keys if isinstance(around, HeldKeys) else None
        stacked = (self.model.layers, context.text, context.image, keys)
        if (first, last) != (0, None):
            stacked = jax.tree.map(lambda x: x[first:last], stacked)
        return jax.lax.scan(layer, tokens, (*stacked, reuse), unroll=self.unroll)

    def kept(self, keys: Keys | None) -> Keys | TileKeys | None:
        """The keys of a layer as they are held; None if they are not.

        In tiles at once: stacked over the layers they are the largest array of a run,
        and to lay them out anew would need it twice.
        """
        if not self.keeps_keys or keys is None:
            return None
        if isinstance(self.tokens, TileTokens) or self.tokens.tiling is None:
            return keys
        return TileKeys.of(keys, self.tokens.tiling)

    @property
    def branch_names(self) -> tuple[str, ...]:
        """The branches of a layer."""
        return ("self_attention", "cross_attention", "mlp")

    def branches(self, *sides: Observed) -> tuple[Array, ...]:
        """The outputs of the branches of all layers."""
        outputs = [side.outputs for side in sides]
        return jax.tree.map(lambda *x: jnp.concatenate(x), *outputs)

    def unknown_branches(self) -> tuple[Array, ...]:
        """Zeros of the shapes of `branches`."""
        tokens = jax.eval_shape(self.stem)
        shape = (self.model.config.depth, *tokens.shape)
        return tuple(jnp.zeros(shape, tokens.dtype) for _ in self.branch_names)

    @property
    def keeps_keys(self) -> bool:
        """Whether keys and values are held for, or by, a region."""
        if isinstance(self.tokens, TileTokens):
            return self.tokens.keys != ()
        return self.tokens.tiling is not None

    def rotary(self) -> Float[Array, "2 *r n d"]:
        """Positions of the tokens: of all, or of each row's active tiles."""
        table = self.conditions.rotary
        if not isinstance(self.tokens, TileTokens):
            return table
        tiles = self.tokens.tiling.tiles(table)[:, self.tokens.tiles]
        rows = tiles.reshape(2, len(self.tokens.tiles), -1, table.shape[-1])
        return jnp.concatenate([rows] * self.conditions.branches, axis=1)

    def around(self) -> Around:
        """What tokens attend to besides the text."""
        tokens = self.tokens
        if not isinstance(tokens, TileTokens):
            return Alone()
        if self.keeps_keys:
            return HeldKeys(tokens.keys, self.rows(tokens.tiles))
        count = len(tokens.tiles) * self.conditions.branches
        bias = jnp.broadcast_to(tokens.bias, (count, len(tokens.bias)))
        return Alone(bias, tokens.tiling.size)

    def head(self, tokens: Float[Array, "r n c"]) -> Float[Array, "b ..."]:
        """The guided velocity, in float32."""
        out = guided(self.model.out(tokens, self.times.head), self.conditions.guidance)
        if isinstance(self.tokens, TileTokens):
            return out.reshape(*self.latents.shape[:3], -1)
        grid = self.model.grid(self.latents)
        return from_patches(out, grid, self.model.config.patch)

    def hold(self, held: Held, *sides: Observed) -> Held:
        """The keys and values of all tiles, and the attention to the words asked for,
        its mean over all layers."""
        whole = jax.tree.map(lambda *x: jnp.concatenate(x), *sides)
        if isinstance(self.tokens, TileTokens):
            if not self.keeps_keys:
                return held
            fresh = whole.keys
            return Held(held.keys.written(self.rows(self.tokens.tiles), fresh))
        keys = () if whole.keys is None else whole.keys
        if whole.share is None:
            return Held(keys)
        # The rows of other branches come last and have no such words.
        return Held(keys, whole.share[:, : len(self.latents)].mean(axis=0))
