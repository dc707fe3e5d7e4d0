"""The attentions of a video transformer: over its own tokens, over text and image."""

from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.devices.sharding import constrain
from chorus_jax.nets.attention import attention
from chorus_jax.nets.kernel_attention import over_text, over_tiles
from chorus_jax.nets.layers import Linear, RMSNorm
from chorus_jax.nets.rotary import rotate
from chorus_jax.nets.split_tiles import FreshTokens, tiled
from chorus_jax.nets.tile_keys import Keys, TileKeys


@runtime_checkable
class AttentionSizes(Protocol):
    """The fields of a transformer's config that an attention reads.

    Attributes:
        heads: their number.
        width: the model's width.
        epsilon: of the norms of queries and keys.
        dtype: of weights and activations.
    """

    @property
    def heads(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def epsilon(self) -> float: ...

    @property
    def dtype(self) -> str: ...


class Gains(NamedTuple):
    """Factors that amplify the text in cross-attention; 1 changes nothing.

    TGAA of arXiv 2604.04451; the form is ours.

    Attributes:
        key: on each text key, before its product with the queries.
        output: on the output of the attention, before its projection.
    """

    key: Float[Array, "b m"]
    output: Float[Array, " b"]


class Context(NamedTuple):
    """Text keys, values and bias of cross-attention, made once per request.

    Attributes:
        text: those of the prompt's tokens.
        bias: added to the logits of each text key, the same in all layers.
        image: those of the first image; None in models without an image stream.
        gains: amplification of the text, not of the image; None for none.
        watched: 1 for each text token whose share of the attention is to be returned, 0
            for the others; None if none is.
    """

    text: Keys
    bias: Float[Array, "b m"]
    image: Keys | None = None
    gains: Gains | None = None
    watched: Float[Array, "b m"] | None = None


class Observed(NamedTuple):
    """Side outputs of a layer.

    Attributes:
        keys: keys and values of its self-attention; None where branches are reused.
        share: the share of its cross-attention that goes to the watched words; None if
            none are watched, or branches are reused.
        outputs: those of its three branches, where they may be reused.
    """

    keys: Keys | TileKeys | None
    share: Float[Array, "*l b n"] | None
    outputs: tuple[Float[Array, "*l b n c"], ...] | None = None


class Alone(NamedTuple):
    """Self-attention: tokens attend to each other and to nothing else.

    Attributes:
        bias: added to the logits of each token: log(r) for one that stands for r
            tokens; None for none.
        size: the tokens of a tile, if the tokens are whole tiles; else None.
    """

    bias: Float[Array, "b n"] | None = None
    size: int | None = None

    def attend(self, query: Float[Array, "b n a d"], own: Keys) -> Array:
        """Attention of these queries."""
        # Without a bias the vendor's kernel runs, which takes none.
        if self.bias is None or self.size is None:
            return attention(query, *own, self.bias, keys="tokens")
        key, value = (tiled(x, self.size) for x in own)
        bias = self.bias.reshape(*key.shape[:3]).astype(jnp.float32)
        return over_tiles(query, key, value, bias=bias)


class HeldKeys(NamedTuple):
    """Attention of some tiles to all; what is not run has keys of an earlier step.

    Attributes:
        keys: keys and values of all tiles, as an earlier full step left them.
        active: the tiles that are run, whose own keys and values are computed anew.
        tile_count: tiles of the video, after which others fill up the keys; None if
            there are no others.
    """

    keys: TileKeys
    active: Int[Array, "b k"]
    tile_count: int | None = None

    def attend(self, query: Float[Array, "b n a d"], own: Keys) -> Array:
        """Attention of these queries."""
        fresh, (key, value) = FreshTokens(*own, self.active), self.keys.by_head()
        return over_tiles(query, key, value, fresh, count=self.tile_count)


Around = Alone | HeldKeys


class KeyMaker(nnx.Module):
    """Projections to keys, normed over all heads at once, and to values."""

    def __init__(self, config: AttentionSizes, *, rngs: nnx.Rngs):
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
    """The parts of both attentions: queries, keys, values and an output projection."""

    def __init__(self, config: AttentionSizes, *, rngs: nnx.Rngs):
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
    """Attention of the video tokens over each other, with rotary positions.

    Gives also their keys, turned, and values.
    """

    def __call__(
        self,
        x: Float[Array, "b n c"],
        rotary: Float[Array, "2 *b n r"],
        around: Around = Alone(),
        passive: Bool[Array, " b"] | None = None,
    ) -> tuple[Float[Array, "b n c"], Keys]:
        """The output, and the keys and values of these tokens. In rows that are
        `passive` each token gets its own value instead of the attention's."""
        key, value = self.keys(x)
        turned = rotate(self.queries(x), rotary), rotate(key, rotary), value
        query, *pair = (split_tokens(y) for y in turned)
        own = Keys(*pair)
        attended = around.attend(query, own)
        if passive is not None:
            attended = jnp.where(passive[:, None, None, None], value, attended)
        return self.merge(attended), own


class CrossAttention(Attention):
    """Attention of video tokens over text, and over an image if the model has one."""

    def __init__(self, config: AttentionSizes, pictures: bool, *, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
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
    ) -> tuple[Float[Array, "b n c"], Float[Array, "b n"] | None]:
        """The output, and the watched words' share of the attention."""
        query, pictures = self.queries(x), None
        if context.image is not None:
            pictures = attention(query, *context.image)
        out = over_text(query, *context.text, context.bias, context.gains, pictures)
        return self.merge(out), self.share(query, context)

    def share(
        self, query: Float[Array, "b n a d"], context: Context
    ) -> Float[Array, "b n"] | None:
        """The watched words' share of the text's attention, its mean over the heads,
        without gains; None if none are watched."""
        if context.watched is None:
            return None
        key, value = context.text
        # Attention to values of 1 where a word is watched: through the same door.
        ones = context.watched.astype(value.dtype)[..., None, None]
        out = attention(query, key, jnp.broadcast_to(ones, value.shape), context.bias)
        return out[..., 0].mean(axis=-1)


def split_tokens(x: Float[Array, "b n a d"]) -> Float[Array, "b n a d"]:
    """Queries, keys or values of a video's tokens on the devices that have these: else
    a compiler may bring all tokens to each device, to compute a share of the heads."""
    return constrain(x, "batch", "tokens", "heads", None)
