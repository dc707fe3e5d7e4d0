"""The self-attention of a video transformer, and its cross-attention to text and
image."""

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
        heads: the number of heads.
        width: the model's width.
        epsilon: epsilon of the norms of queries and keys.
        dtype: dtype of weights and activations.
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

    This is TGAA of arXiv 2604.04451; the exact form is ours.

    Attributes:
        key: the factor of each text key before its product with the queries.
        output: the factor of the attention's output before its projection.
    """

    key: Float[Array, "b m"]
    output: Float[Array, " b"]


class Context(NamedTuple):
    """Keys, values and bias that cross-attention reads, computed once per request.

    Attributes:
        text: keys and values of the prompt's tokens.
        bias: added to the logits of each text key, the same in all layers.
        image: keys and values of the first image; None in models without an image
            stream.
        gains: amplification of the text, not of the image; None for none.
        watched: 1 for each text token whose share of the attention is returned, 0 for
            other tokens; None if no share is returned.
    """

    text: Keys
    bias: Float[Array, "b m"]
    image: Keys | None = None
    gains: Gains | None = None
    watched: Float[Array, "b m"] | None = None


class Observed(NamedTuple):
    """Side outputs of a layer.

    Attributes:
        keys: keys and values of its self-attention; None if branches are reused.
        share: each token's share of cross-attention to the watched words; None if no
            words are watched or branches are reused.
        outputs: the outputs of its three branches, if branches may be reused.
    """

    keys: Keys | TileKeys | None
    share: Float[Array, "*l b n"] | None
    outputs: tuple[Float[Array, "*l b n c"], ...] | None = None


class Alone(NamedTuple):
    """Self-attention in which the tokens of the pass attend to each other only.

    Attributes:
        bias: added to the logits of each token's key: log(r) for a token that
            represents r tokens; None for none.
        size: tokens per tile if the tokens are ordered in whole tiles, else None.
    """

    bias: Float[Array, "b n"] | None = None
    size: int | None = None

    def attend(self, query: Float[Array, "b n a d"], own: Keys) -> Array:
        """Attention of the queries to the keys and values `own` of the same tokens."""
        # `attention` can use the vendor's kernel, which takes no bias.
        if self.bias is None or self.size is None:
            return attention(query, *own, self.bias, keys="tokens")
        key, value = (tiled(x, self.size) for x in own)
        bias = self.bias.reshape(*key.shape[:3]).astype(jnp.float32)
        return over_tiles(query, key, value, bias=bias)


class HeldKeys(NamedTuple):
    """Self-attention in which active tiles attend to all tiles, with keys and values
    from earlier steps for the inactive ones.

    Attributes:
        keys: held keys and values of all tiles.
        active: the indices of the active tiles, whose own keys and values are computed
            in this pass.
        tile_count: the number of tiles of the video, if padding tiles follow them in
            `keys`; None if there is no padding.
    """

    keys: TileKeys
    active: Int[Array, "b k"]
    tile_count: int | None = None

    def attend(self, query: Float[Array, "b n a d"], own: Keys) -> Array:
        """Attention of the active tiles' queries to all tiles.

        `own` holds the active tiles' keys and values, which replace the held ones.
        """
        fresh, (key, value) = FreshTokens(*own, self.active), self.keys.by_head()
        return over_tiles(query, key, value, fresh, count=self.tile_count)


AttendedKeys = Alone | HeldKeys


class KeyMaker(nnx.Module):
    """Projections to values, and to keys, which are normed over all heads together."""

    def __init__(self, config: AttentionSizes, *, rngs: nnx.Rngs):
        self.heads, c = config.heads, config.width
        project = partial(Linear, c, c, dtype=jnp.dtype(config.dtype), rngs=rngs)
        self.k = project(axes=("width", "heads"))
        self.v = project(axes=("width", "heads"))
        self.k_norm = RMSNorm(c, axis="heads", epsilon=config.epsilon)

    def split(self, x: Float[Array, "b n c"]) -> Float[Array, "b n a d"]:
        """Splits a projection into heads."""
        return x.reshape(*x.shape[:2], self.heads, -1)

    def keys(self, x: Float[Array, "b m c"]) -> Keys:
        """Keys and values of these tokens."""
        return Keys(self.split(self.k_norm(self.k(x))), self.split(self.v(x)))


class Attention(KeyMaker):
    """Base of self- and cross-attention: the projections to queries, keys and values,
    and the output projection."""

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
        """Joins the heads and applies the output projection."""
        return self.o(x.reshape(*x.shape[:2], -1))


class SelfAttention(Attention):
    """Self-attention of the video tokens, with rotary positions."""

    def __call__(
        self,
        x: Float[Array, "b n c"],
        rotary: Float[Array, "2 *b n r"],
        attended_keys: AttendedKeys = Alone(),
        passive: Bool[Array, " b"] | None = None,
    ) -> tuple[Float[Array, "b n c"], Keys]:
        """Applies self-attention.

        Args:
            x: tokens.
            rotary: cosines and sines of their positions (see `rotary.rotate`).
            attended_keys: the keys that they attend to.
            passive: True for rows without attention, in which each token's output is
                its own value; None for no such rows.

        Returns:
            The output, and these tokens' values and (rotated) keys.
        """
        key, value = self.keys(x)
        turned = rotate(self.queries(x), rotary), rotate(key, rotary), value
        query, *pair = (split_tokens(y) for y in turned)
        own = Keys(*pair)
        attended = attended_keys.attend(query, own)
        if passive is not None:
            attended = jnp.where(passive[:, None, None, None], value, attended)
        return self.merge(attended), own


class CrossAttention(Attention):
    """Cross-attention from video tokens to text, and to an image if the model has an
    image stream."""

    def __init__(self, config: AttentionSizes, pictures: bool, *, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
        self.image = KeyMaker(config, rngs=rngs) if pictures else None

    def context(
        self, text: Float[Array, "b m c"], image: Float[Array, "b e c"] | None
    ) -> tuple[Keys, Keys | None]:
        """Keys and values of the text and of the image; None for no image."""
        if self.image is None or image is None:
            return self.keys(text), None
        return self.keys(text), self.image.keys(image)

    def __call__(
        self, x: Float[Array, "b n c"], context: Context
    ) -> tuple[Float[Array, "b n c"], Float[Array, "b n"] | None]:
        """The output, and each token's share of attention to the watched words; None if
        no words are watched."""
        query, pictures = self.queries(x), None
        if context.image is not None:
            pictures = attention(query, *context.image)
        out = over_text(query, *context.text, context.bias, context.gains, pictures)
        return self.merge(out), self.share(query, context)

    def share(
        self, query: Float[Array, "b n a d"], context: Context
    ) -> Float[Array, "b n"] | None:
        """Each token's share of text attention to the watched words, without gains and
        averaged over the heads; None if no words are watched."""
        if context.watched is None:
            return None
        key, value = context.text
        # Attention to values of 1 for watched words and 0 for others gives their share.
        ones = context.watched.astype(value.dtype)[..., None, None]
        out = attention(query, key, jnp.broadcast_to(ones, value.shape), context.bias)
        return out[..., 0].mean(axis=-1)


def split_tokens(x: Float[Array, "b n a d"]) -> Float[Array, "b n a d"]:
    """Constrains queries, keys or values to stay split by tokens over the devices.

    Otherwise the compiler may gather all tokens on each device to split the heads.
    """
    return constrain(x, "batch", "tokens", "heads", None)
