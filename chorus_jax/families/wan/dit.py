"""The Wan diffusion transformer (arXiv 2503.20314): velocity of video latents.

`WanDiT` holds the weights and makes once what does not change from step to step: `keys`
of the text in all layers, `times` (modulation of all steps). `WanForward` is one pass
in pieces. Neither knows schedulers, requests or regions.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import ALL, TextGains, TokenSet, evaluate
from chorus_jax.families.single_stream.block import ModulatedBlock
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.families.single_stream.forward import SingleStreamForward
from chorus_jax.families.single_stream.transformer import SingleStreamTransformer
from chorus_jax.families.wan.block import Block, ImageEmbedding, PatchEmbed
from chorus_jax.families.wan.conditions import tail_bias
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.nets.layers import Linear, stack
from chorus_jax.nets.modulation import Head, Mlp, gelu_tanh
from chorus_jax.nets.rotary import rotary_table
from chorus_jax.nets.token_attention import Context, Keys


class WanDiT(SingleStreamTransformer):
    """The Wan transformer; parameters of its layers are stacked and scanned."""

    config: WanConfig

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
            else ImageEmbedding(
                config.image_width, c, config.image_positions, dtype, rngs
            )
        )
        self.layers = stack(lambda rngs: Block(config, rngs=rngs), config.depth, rngs)
        patch = config.out_channels * math.prod(config.patch)
        self.out = Head(c, patch, config.epsilon, dtype, rngs)

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
    ) -> StreamConditions:
        """The conditions of one pass without guidance, a timestep per row or token."""
        return StreamConditions(
            self.context(text, image=image),
            self.times(timestep),
            rotary_table(self.grid(latents), self.config.head_width),
            None,
        )

    def forward(
        self,
        conditions: StreamConditions,
        latents: Float[Array, "b ..."],
        i: Int[Array, " b"],
        gains: TextGains | None = None,
        tokens: TokenSet = ALL,
    ) -> "WanForward":
        """The pass at step `i` of each request (see `families.forward.Transformer`)."""
        return WanForward(self, conditions, latents, i, gains, tokens)

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
        number as bias: the same output (to rounding) for a fraction of the keys. Raises
        a ValueError if the image stream and `image` do not go together.
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

        def project(
            carry: None, layer: ModulatedBlock
        ) -> tuple[None, tuple[Keys, Keys | None]]:
            return carry, layer.cross.context(tokens, pictures)

        _, (words, picture_keys) = jax.lax.scan(project, None, self.layers)
        return Context(words, bias, picture_keys)


class WanForward(SingleStreamForward):
    """One pass through `WanDiT` (see `families.forward.Forward`)."""

    def signal(self, name: str) -> Float[Array, "r ..."]:
        """The time embedding of each row, or its six-way projection; both are what
        TeaCache watches for Wan (LiewFeng/TeaCache, TeaCache4Wan2.1)."""
        signals = {"embedding": self.times.head, "modulation": self.times.blocks}
        if name not in signals:
            raise ValueError(f"Wan has the signals {', '.join(signals)}, got {name!r}")
        # A given frame has the same timestep in all steps: it says nothing.
        given = self.conditions.frozen is not None
        return signals[name][:, 0] if given else signals[name]
