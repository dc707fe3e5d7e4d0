"""Attention of one stream's tokens to its own tokens, the other stream's, or the
text."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float

from chorus_jax.nets.attention import attention
from chorus_jax.nets.kernel_attention import over_text
from chorus_jax.nets.layers import Linear, RMSNorm
from chorus_jax.nets.rotary import rotate_halves
from chorus_jax.nets.token_attention import (
    Alone,
    AttendedKeys,
    Gains,
    HeldKeys,
    Keys,
    split_tokens,
)


class AttentionWidths(NamedTuple):
    """Sizes of an attention.

    Attributes:
        queries: the width of the tokens that attend.
        memory: the width of the tokens that are attended to.
        heads: the number of heads.
        head_width: the width of a head.
        epsilon: the epsilon of the norms of queries and keys.
        gated: whether each head has a gate, computed from the tokens that attend.
    """

    queries: int
    memory: int
    heads: int
    head_width: int
    epsilon: float
    gated: bool


class GatedAttention(nnx.Module):
    """Multi-head attention whose queries and keys are normed over all heads at once.

    Attributes:
        gate: projects a token to one gate per head (twice the sigmoid of the
            projection); None without gates.
    """

    def __init__(self, widths: AttentionWidths, dtype: jnp.dtype, rngs: nnx.Rngs):
        self.heads, inner = widths.heads, widths.heads * widths.head_width
        project = partial(Linear, dtype=dtype, rngs=rngs)
        into, out = ("width", "heads"), ("heads", "width")
        self.q = project(widths.queries, inner, axes=into)
        self.k = project(widths.memory, inner, axes=into)
        self.v = project(widths.memory, inner, axes=into)
        self.o = project(inner, widths.queries, axes=out)
        norm = partial(RMSNorm, inner, axis="heads", epsilon=widths.epsilon)
        self.q_norm, self.k_norm = norm(), norm()
        self.gate = (
            project(widths.queries, widths.heads, axes=into) if widths.gated else None
        )

    def split(self, x: Float[Array, "b n c"]) -> Float[Array, "b n a d"]:
        """The heads of a projection."""
        return x.reshape(*x.shape[:2], self.heads, -1)

    def keys(
        self, x: Float[Array, "b m c"], rotary: Float[Array, "2 *b m r"] | None = None
    ) -> Keys:
        """Keys and values of these tokens; keys are rotated if `rotary` is given."""
        key = self.split(self.k_norm(self.k(x)))
        if rotary is not None:
            key = rotate_halves(key, rotary)
        return Keys(key, self.split(self.v(x)))

    def queries(
        self, x: Float[Array, "b n c"], rotary: Float[Array, "2 *b n r"] | None = None
    ) -> Float[Array, "b n a d"]:
        """Queries of these tokens, rotated if `rotary` is given."""
        query = self.split(self.q_norm(self.q(x)))
        return query if rotary is None else rotate_halves(query, rotary)

    def merge(
        self, attended: Float[Array, "b n a d"], x: Float[Array, "b n c"]
    ) -> Float[Array, "b n c"]:
        """Joins the heads, applies the gates (computed from `x`) and the output
        projection."""
        if self.gate is not None:
            gates = 2 * jax.nn.sigmoid(self.gate(x).astype(jnp.float32))
            attended = attended * gates[..., None].astype(attended.dtype)
        return self.o(attended.reshape(*x.shape[:2], -1))


def among_themselves(
    attn: GatedAttention,
    x: Float[Array, "b n c"],
    rotary: Float[Array, "2 *b n r"],
    attended_keys: AttendedKeys = Alone(),
    passive: Bool[Array, " b"] | None = None,
) -> tuple[Float[Array, "b n c"], Keys]:
    """Self-attention, and the keys and values of these tokens.

    In rows that are `passive` each token attends to itself only: its output is its own
    value.
    """
    own = Keys(*(split_tokens(y) for y in attn.keys(x, rotary)))
    attended = attended_keys.attend(split_tokens(attn.queries(x, rotary)), own)
    if passive is not None:
        attended = jnp.where(passive[:, None, None, None], own.value, attended)
    return attn.merge(attended, x), own


def over_stream(
    attn: GatedAttention,
    x: Float[Array, "b n c"],
    rotary: Float[Array, "2 *b n r"],
    memory: Keys,
    attended_keys: AttendedKeys = Alone(),
    keys: str | None = None,
) -> Float[Array, "b n c"]:
    """Attention to the other stream's tokens.

    Args:
        attn: the attention.
        x: the tokens that attend.
        rotary: rotary tables of these tokens.
        memory: keys and values of the other stream's tokens in this pass.
        attended_keys: held keys of the other stream's tokens that this pass does not
            run.
        keys: `tokens` if the other stream's keys are split over devices, as the video's
            are; None if they are not.
    """
    query = attn.queries(x, rotary)
    if isinstance(attended_keys, HeldKeys):
        held = attended_keys.keys.written(attended_keys.active, memory)
        there = lambda y: y[:, : attended_keys.tile_count].reshape(
            len(y), -1, *y.shape[3:]
        )
        key, value = (there(y) for y in held.by_head())
        return attn.merge(attention(query, key, value, keys=keys), x)
    return attn.merge(attention(query, *memory, attended_keys.bias, keys=keys), x)


class Words(NamedTuple):
    """Inputs of cross-attention to the text, for the tokens of all rows.

    Attributes:
        gains: factors on the keys and on the output; None for no gains.
        watched: 1 for each text token whose share of the attention is to be measured;
            None to measure nothing.
    """

    gains: Gains | None
    watched: Float[Array, "b m"] | None


def over_words(
    attn: GatedAttention, x: Float[Array, "b n c"], text: Keys, words: Words
) -> tuple[Float[Array, "b n c"], Float[Array, "b n"] | None]:
    """Cross-attention to the text, and the share of it (before gains) that goes to the
    watched words."""
    query, bias = attn.queries(x), jnp.zeros(text.key.shape[:2], jnp.float32)
    out = attn.merge(over_text(query, *text, bias, words.gains, None), x)
    if words.watched is None:
        return out, None
    # Attention to values of 1 where a word is watched: through the same door.
    ones = words.watched.astype(text.value.dtype)[..., None, None]
    share = attention(query, text.key, jnp.broadcast_to(ones, text.value.shape), bias)
    return out, share[..., 0].mean(axis=-1)
