"""The Wan diffusion transformer (arXiv 2503.20314): velocity of video latents.

Three calls, `embed`, `blocks` and `head`, composed by `__call__`. What does not change
from step to step has its own call, so that a sampler makes it once: `context` (text
keys and values of all layers), `times` (modulation of all steps), `rotary_table`
(positions). It knows nothing of schedulers, guidance or reuse.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from chorus_jax.devices.sharding import constrain
from chorus_jax.families.wan.attention import (
    Alone,
    Around,
    Context,
    Held,
    Keys,
    Observed,
)
from chorus_jax.families.wan.block import (
    Block,
    Head,
    ImageEmbedding,
    Mlp,
    PatchEmbed,
    gelu_tanh,
)
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.nets.layers import Linear, sinusoidal, stack
from chorus_jax.nets.rotary import rotary_table
from chorus_jax.nets.tokens import Size, from_patches, to_patches


class Times(NamedTuple):
    """Modulation inputs in float32, a row a timestep: made once a schedule."""

    blocks: Float[Array, "*t 6 c"]
    head: Float[Array, "*t c"]

    def at(self, i: Int[Array, ""] | int, batch: int) -> "Times":
        """Those of step `i`, for each of `batch` rows."""
        return jax.tree.map(
            lambda x: jnp.broadcast_to(x[i][None], (batch, *x.shape[1:])), self
        )


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
        """Velocity at `timestep` (0 to 1000), one a request or one a token.

        `text` holds the text encoder's output with all its padding.
        """
        grid = self.grid(latents)
        times = self.times(timestep)
        tokens = self.blocks(
            self.embed(latents),
            times.blocks,
            rotary_table(grid, self.config.head_width),
            self.context(text, image=image),
        )
        return self.head(tokens, times.head, grid)

    def grid(self, latents: Float[Array, "b f h w i"]) -> Size:
        """Tokens along frames, height and width. ValueError if patches do not fit."""
        sizes, patch = latents.shape[1:4], self.config.patch
        if any(size % p for size, p in zip(sizes, patch)):
            raise ValueError(
                f"latents of size {tuple(sizes)} do not divide into {patch=}"
            )
        f, h, w = (size // p for size, p in zip(sizes, patch))
        return f, h, w

    def embed(self, latents: Float[Array, "b f h w i"]) -> Float[Array, "b n c"]:
        """Video tokens of the latents, frame by frame and row by row."""
        return self.embed_patches(to_patches(latents, self.config.patch))

    def embed_patches(self, patches: Float[Array, "b n p"]) -> Float[Array, "b n c"]:
        """Video tokens of these patches, some or all of them, in any order."""
        return constrain(self.patch(patches), "batch", "tokens", None)

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

    def blocks(
        self,
        tokens: Float[Array, "b n c"],
        times: Float[Array, " b *n 6 c"],
        rotary: Float[Array, "2 n r"],
        context: Context,
    ) -> Float[Array, "b n c"]:
        """The tokens after all layers; `rotary` travels with the tokens' order."""

        def layer(tokens: Array, scanned: tuple[Block, Keys, Keys | None]):
            block, text, image = scanned
            given = context._replace(text=text, image=image)
            return block(tokens, times, rotary, given)[0], None

        stacked = (self.layers, context.text, context.image)
        return jax.lax.scan(layer, tokens, stacked)[0]

    def blocks_observed(
        self,
        tokens: Float[Array, "b n c"],
        times: Float[Array, " b *n 6 c"],
        rotary: Float[Array, "2 *b n r"],
        context: Context,
        around: Around = Alone(),
    ) -> tuple[Float[Array, "b n c"], Observed]:
        """As `blocks`; also what was observed in all layers.

        With `Held` keys of all layers, these are the tokens of the active tiles.
        """

        def layer(tokens: Array, scanned: tuple):
            block, text, image, keys = scanned
            given = context._replace(text=text, image=image)
            near = around._replace(keys=keys) if isinstance(around, Held) else around
            return block(tokens, times, rotary, given, near)

        keys = around.keys if isinstance(around, Held) else None
        stacked = (self.layers, context.text, context.image, keys)
        return jax.lax.scan(layer, tokens, stacked)

    def head(
        self,
        tokens: Float[Array, "b n c"],
        times: Float[Array, " b *n c"],
        grid: Size,
    ) -> Float[Array, "b f h w o"]:
        """Velocity in the latents' layout, in float32."""
        return from_patches(self.out(tokens, times), grid, self.config.patch)

    def head_patches(
        self, tokens: Float[Array, "b n c"], times: Float[Array, " b *n c"]
    ) -> Float[Array, "b n p"]:
        """Velocity of these tokens' patches, in float32."""
        return self.out(tokens, times)


def tail_bias(lengths: Int[Array, " b"], rows: int, limit: int) -> Float[Array, "b m"]:
    """One number a text row: 0 for words, log(number of padding rows) for the first row
    of padding, minus infinity for the rest.

    A worked case: length 3, 5 rows, limit 512 gives [0, 0, 0, log 509, -inf]. `rows`
    must exceed every length unless it is `limit`.
    """
    row, length = jnp.arange(rows)[None, :], lengths[:, None]
    count = jnp.log(jnp.maximum(limit - length, 1).astype(jnp.float32))
    tail = jnp.where(row == length, count, -jnp.inf)
    return jnp.where(row < length, 0.0, tail)
