"""The LTX-Video transformer (arXiv 2501.00103): velocity of video latents.

`LTXDiT` holds the weights and makes once what does not change from step to step;
`LTXForward` is one pass in pieces. Neither knows schedulers, requests or regions.

Source of the architecture: Lightricks/LTX-Video,
ltx_video/models/transformers/transformer3d.py.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import ALL, Latents, TextGains, TokenSet, evaluate
from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.positions import PixelScale, position_table
from chorus_jax.families.ltx_shared.given_frames import GIVEN, VIDEO
from chorus_jax.families.single_stream.block import ModulatedBlock
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.families.single_stream.forward import SingleStreamForward
from chorus_jax.families.single_stream.transformer import SingleStreamTransformer
from chorus_jax.nets.layers import Linear, RMSNorm, stack
from chorus_jax.nets.modulation import Head, Mlp, enter, gelu_tanh, modulate
from chorus_jax.nets.token_attention import (
    Context,
    CrossAttention,
    Keys,
    SelfAttention,
)
from chorus_jax.nets.tokens import from_patches, to_patches


class LTXBlock(ModulatedBlock):
    """A block of LTX-Video: its cross-attention has no norm before it and no gate."""

    def __init__(self, config: LTXConfig, *, rngs: nnx.Rngs):
        c, dtype = config.width, jnp.dtype(config.dtype)
        table = c**-0.5 * rngs.params.normal((6, c))
        self.modulation = nnx.Param(table, axes=(None, "width"))
        self.norm = RMSNorm(c, affine=False, epsilon=config.block_epsilon)
        self.attn = SelfAttention(config, rngs=rngs)
        self.cross_norm = None
        self.cross = CrossAttention(config, False, rngs=rngs)
        self.mlp = Mlp(c, 4 * c, c, gelu_tanh, dtype, rngs)


class LTXDiT(SingleStreamTransformer):
    """The LTX-Video transformer.

    Attributes:
        config: its sizes.
        text: projects the prompt's embeddings to the model's width.
    """

    config: LTXConfig

    def __init__(self, config: LTXConfig, *, rngs: nnx.Rngs):
        c, dtype = config.width, jnp.dtype(config.dtype)
        self.config = config
        self.patch = Linear(
            config.in_channels, c, axes=(None, "width"), dtype=dtype, rngs=rngs
        )
        # The time embedding stays in float32: bfloat16 cannot tell step 999 from 1000.
        self.time = Mlp(
            config.time_width, c, c, jax.nn.silu, jnp.dtype("float32"), rngs
        )
        self.modulation = Linear(c, 6 * c, dtype=dtype, rngs=rngs)
        self.text = Mlp(config.text_width, c, c, gelu_tanh, dtype, rngs)
        self.layers = stack(
            lambda rngs: LTXBlock(config, rngs=rngs), config.depth, rngs
        )
        self.out = Head(c, config.out_channels, config.block_epsilon, dtype, rngs)

    def __call__(
        self,
        latents: Float[Array, "b f h w i"],
        timestep: Float[Array, " b *n"],
        text: Float[Array, "b m t"],
        lengths: Int[Array, " b"],
        scale: PixelScale,
    ) -> Float[Array, "b f h w o"]:
        """Velocity without guidance.

        Args:
            latents: noisy latents.
            timestep: 0 to 1000, one per request or one per token.
            text: embeddings of the prompts.
            lengths: the number of tokens of each prompt; padding after them is not
                read.
            scale: converts token indices to seconds and pixels.
        """
        conditions = StreamConditions(
            self.context(text, lengths),
            self.times(timestep),
            position_table(self.grid(latents), self.config.width, scale),
            None,
        )
        return evaluate(self.forward(conditions, latents, jnp.arange(len(latents))))[0]

    def forward(
        self,
        conditions: StreamConditions,
        latents: Latents,
        i: Int[Array, " b"],
        gains: TextGains | None = None,
        tokens: TokenSet = ALL,
    ) -> "LTXForward":
        """The pass at step `i` of each request (see `families.forward.Transformer`)."""
        return LTXForward(self, conditions, latents, i, gains, tokens)

    def context(
        self, text: Float[Array, "b m t"], lengths: Int[Array, " b"]
    ) -> Context:
        """Keys and values of the text in all layers; padding is not attended to.

        The makers add -10000 to its logits, which is the same in float32.
        """
        tokens = self.text(text)

        def project(carry: None, layer: ModulatedBlock) -> tuple[None, Keys]:
            return carry, layer.cross.keys(tokens)

        _, keys = jax.lax.scan(project, None, self.layers)
        words = jnp.arange(text.shape[1])[None, :] < lengths[:, None]
        return Context(keys, jnp.where(words, 0.0, -jnp.inf))


class LTXForward(SingleStreamForward):
    """One pass through `LTXDiT` (see `families.forward.Forward`).

    Its latents are the video's; given frames outside the video's grid are a second
    stream.
    """

    def patches(self, latents: Latents) -> Float[Array, "r n p"]:
        """One patch per token; tokens of given frames outside the video's grid come
        first."""
        if not isinstance(latents, dict):
            return super().patches(latents)
        video = to_patches(latents[VIDEO], self.model.config.patch)
        return jnp.concatenate([latents[GIVEN], video], axis=1)

    def arranged(self, patches: Array) -> Latents:
        """The reverse of `patches`, for any number of channels."""
        if not isinstance(self.latents, dict):
            return super().arranged(patches)
        extra, grid = self.latents[GIVEN].shape[1], self.model.grid(self.latents[VIDEO])
        video = from_patches(patches[:, extra:], grid, self.model.config.patch)
        return {GIVEN: patches[:, :extra], VIDEO: video}

    def signal(self, name: str) -> Float[Array, "r ..."]:
        """The time embedding of each row, or the modulated input of the first layer,
        which TeaCache watches for LTX (LiewFeng/TeaCache, TeaCache4LTX-Video)."""
        signals: dict[str, Callable[[], Array]] = {
            "embedding": self.embedding,
            "modulation": self.first_input,
        }
        if name not in signals:
            raise ValueError(f"LTX has the signals {', '.join(signals)}, got {name!r}")
        return signals[name]()

    def embedding(self) -> Float[Array, "r ..."]:
        """The time embedding of generated tokens; given frames have one of their own,
        which says nothing."""
        given = self.conditions.frozen is not None
        return self.times.head[:, 0] if given else self.times.head

    def first_input(self) -> Float[Array, "r n c"]:
        """The modulated input of the first layer's self-attention."""
        table = self.model.layers.modulation[...][0]
        shift, scale, *_ = modulate(table, self.of_tokens(self.times.blocks))
        return enter(self.model.layers.norm, self.stem(), shift, scale)
