"""The attentions of the Wan transformer: over its own tokens, over text and image."""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.models.attention import attention
from chorus_jax.models.layers import Linear, RMSNorm
from chorus_jax.models.rotary import rotate
from chorus_jax.models.wan_config import WanConfig


class Keys(NamedTuple):
    """Keys and values, with a leading axis of layers where they are stacked."""

    key: Float[Array, "*l b m a d"]
    value: Float[Array, "*l b m a d"]


class Context(NamedTuple):
    """What cross-attention reads, made once a request.

    `bias` is one number a text key, the same in all layers; `image` is there in models
    with an image stream.
    """

    text: Keys
    bias: Float[Array, "b m"]
    image: Keys | None = None


class KeyMaker(nnx.Module):
    """Projections to keys, normed over all heads at once, and to values."""

    def __init__(self, config: WanConfig, *, rngs: nnx.Rngs):
        self.heads, c = config.heads, config.width
        project = partial(Linear, c, c, dtype=jnp.dtype(config.dtype), rngs=rngs)
        self.k = project(axes=("width", "heads"))
        self.v = project(axes=("width", "heads"))
        self.k_norm = RMSNorm(c, axis="heads", epsilon=config.epsilon)

    def split(self, x: Float[Array, "b n c"]) -> Float[Array, "b n a d"]:
        """The heads of a projection."""
        return x.reshape(*x.shape[:2], self.heads, -1)

    def keys(self, x: Float[Array, "b m c"]) -> Keys:
        """Keys and values of these tokens."""
        return Keys(self.split(self.k_norm(self.k(x))), self.split(self.v(x)))


class Attention(KeyMaker):
    """What both attentions have: queries, keys, values and an output projection."""

    def __init__(self, config: WanConfig, *, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
        c = config.width
        project = partial(Linear, c, c, dtype=jnp.dtype(config.dtype), rngs=rngs)
        self.q = project(axes=("width", "heads"))
        self.o = project(axes=("heads", "width"))
        self.q_norm = RMSNorm(c, axis="heads", epsilon=config.epsilon)

    def queries(self, x: Float[Array, "b n c"]) -> Float[Array, "b n a d"]:
        """Queries of these tokens."""
        return self.split(self.q_norm(self.q(x)))

    def merge(self, x: Float[Array, "b n a d"]) -> Float[Array, "b n c"]:
        """The output projection of the heads."""
        return self.o(x.reshape(*x.shape[:2], -1))


class SelfAttention(Attention):
    """Attention of the video tokens over each other, with rotary positions."""

    def __call__(
        self, x: Float[Array, "b n c"], rotary: Float[Array, "2 n r"]
    ) -> Float[Array, "b n c"]:
        key, value = self.keys(x)
        query = rotate(self.queries(x), rotary)
        return self.merge(attention(query, rotate(key, rotary), value))


class CrossAttention(Attention):
    """Attention of video tokens over text, and over an image if the model has one."""

    def __init__(self, config: WanConfig, *, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
        pictures = config.image_width is not None
        self.image = KeyMaker(config, rngs=rngs) if pictures else None

    def context(
        self, text: Float[Array, "b m c"], image: Float[Array, "b e c"] | None
    ) -> tuple[Keys, Keys | None]:
        """Keys and values of text and image tokens."""
        if self.image is None or image is None:
            return self.keys(text), None
        return self.keys(text), self.image.keys(image)

    def __call__(
        self, x: Float[Array, "b n c"], context: Context
    ) -> Float[Array, "b n c"]:
        query = self.queries(x)
        out = attention(query, *context.text, context.bias)
        if context.image is not None:
            out = out + attention(query, *context.image)
        return self.merge(out)
