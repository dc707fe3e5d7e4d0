"""The Gemma 3 language model as a text encoder: the hidden states of all layers.

Prompts are padded on the right here, but on the left in LTX-2's code. A prompt's tokens
have the same states either way, since tokens attend to earlier ones only and only
distances between positions matter. The states of padding are meaningless.

Source of the architecture: arXiv 2503.19786; huggingface/transformers,
models/gemma3/modeling_gemma3.py.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, Int

from chorus_jax.nets.layers import Embedding, Linear, RMSNorm, stack
from chorus_jax.nets.products import product
from chorus_jax.nets.rotary import rotate_halves
from chorus_jax.nets.t5 import GatedMlp

# Finite, so that padding gives numbers and not NaN.
LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class GemmaConfig:
    """Sizes of a Gemma 3 language model; `b12` is LTX-2's.

    Attributes:
        width: channels of the hidden states.
        depth: the number of layers.
        heads: heads of queries.
        key_heads: heads of keys and values, each shared by `heads / key_heads` heads of
            queries.
        head_width: channels of a head.
        mlp_width: channels within the gated feed-forward network.
        vocab: the number of token ids.
        window: tokens that a token attends to in a local layer, itself included.
        pattern: every `pattern`-th layer is global: its tokens attend to all earlier
            tokens. The other layers are local.
        local_period: base of the rotary frequencies of local layers.
        period: base of the rotary frequencies of global layers.
        stretch: positions are divided by this in global layers.
        query_scale: queries are divided by the square root of this.
        epsilon: epsilon of the norms.
        dtype: dtype of weights and computation.

    Raises:
        ValueError: if `key_heads` does not divide `heads`, or `head_width` is odd.
    """

    width: int
    depth: int
    heads: int
    key_heads: int
    head_width: int
    mlp_width: int
    vocab: int
    window: int = 1024
    pattern: int = 6
    local_period: float = 10_000.0
    period: float = 1_000_000.0
    stretch: float = 8.0
    query_scale: float = 256.0
    epsilon: float = 1e-6
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.heads % self.key_heads or self.head_width % 2:
            raise ValueError(
                f"{self.key_heads=} must divide {self.heads=}, and {self.head_width=} "
                "must be even"
            )

    @property
    def states(self) -> int:
        """The number of hidden states of a token: its embedding, and one per layer."""
        return self.depth + 1

    @property
    def is_global(self) -> tuple[bool, ...]:
        """Whether each layer is global: its tokens attend to all earlier ones."""
        return tuple((i + 1) % self.pattern == 0 for i in range(self.depth))

    @classmethod
    def b12(cls, dtype: str = "bfloat16") -> "GemmaConfig":
        """Gemma 3 12B, the text encoder of LTX-2 and LTX-2.3."""
        return cls(3840, 48, 16, 8, 256, 15360, 262_208, dtype=dtype)


class GemmaEncoder(nnx.Module):
    """Encodes token ids as the hidden states of all layers; the layers are scanned."""

    def __init__(self, config: GemmaConfig, *, rngs: nnx.Rngs):
        self.config, dtype = config, jnp.dtype(config.dtype)
        self.embedding = Embedding(
            config.vocab, config.width, axes=("vocab", "width"), dtype=dtype, rngs=rngs
        )
        make = partial(GemmaBlock, config)
        self.layers = stack(lambda rngs: make(rngs=rngs), config.depth, rngs)
        self.norm = RMSNorm(config.width, axis="width", epsilon=config.epsilon)

    def __call__(
        self, ids: Int[Array, "b m"], mask: Bool[Array, "b m"]
    ) -> Float[Array, "b m c states"]:
        """The hidden states of all tokens.

        Args:
            ids: token ids.
            mask: False for padding, which no token attends to.

        Returns:
            Per token its embedding, then its state after each layer; the last state is
            normed.
        """
        config, m = self.config, ids.shape[1]
        scale = jnp.asarray(config.width**0.5, self.embedding.table[...].dtype)
        x = self.embedding(ids) * scale
        rotary = rotary_tables(config, m)
        seen = looks_back(m, config.window)[:, None] & mask[None, :, None, :]

        def layer(x: Array, scanned: tuple) -> tuple[Array, Array]:
            block, everywhere = scanned
            y = block(x, rotary[everywhere], seen[everywhere])
            return y, y

        which = jnp.asarray(config.is_global, jnp.int32)
        last, states = jax.lax.scan(layer, x, (self.layers, which))
        every = jnp.concatenate([x[None], states[:-1], self.norm(last)[None]])
        return jnp.moveaxis(every, 0, -1)


def looks_back(m: int, window: int) -> Bool[np.ndarray, "2 m m"]:
    """True where a query (row) may attend to a key (column), for local layers and for
    global layers."""
    back = np.arange(m)[:, None] - np.arange(m)[None, :]
    return np.stack([(back >= 0) & (back < window), back >= 0])


def rotary_tables(config: GemmaConfig, m: int) -> Float32[Array, "2 2 m r"]:
    """Cosines and sines of all positions, for local layers and for global layers."""
    half = np.arange(0, config.head_width, 2) / config.head_width
    local = np.float32(1) / np.power(config.local_period, half).astype(np.float32)
    global_ = np.float32(1) / np.power(config.period, half).astype(np.float32)
    rates = np.stack([local, global_ / np.float32(config.stretch)])
    angles = np.arange(m, dtype=np.float32)[None, :, None] * rates[:, None, :]
    return jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], 1), jnp.float32)


class GemmaBlock(nnx.Module):
    """A layer of attention and feed-forward network, each with a norm before and after
    it and a residual connection."""

    def __init__(self, config: GemmaConfig, *, rngs: nnx.Rngs):
        norm = partial(RMSNorm, config.width, axis="width", epsilon=config.epsilon)
        self.attn_norm, self.attn_out_norm = norm(), norm()
        self.mlp_norm, self.mlp_out_norm = norm(), norm()
        self.attn = GroupedAttention(config, rngs=rngs)
        self.mlp = GatedMlp(config, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b m c"],
        rotary: Float32[Array, "2 m r"],
        seen: Bool[Array, "b m m"],
    ) -> Float[Array, "b m c"]:
        x = x + self.attn_out_norm(self.attn(self.attn_norm(x), rotary, seen))
        return x + self.mlp_out_norm(self.mlp(self.mlp_norm(x)))


class GroupedAttention(nnx.Module):
    """Grouped-query self-attention: several heads of queries share a head of keys.
    Queries and keys are normed per head."""

    def __init__(self, config: GemmaConfig, *, rngs: nnx.Rngs):
        self.head_width, self.scale = config.head_width, config.query_scale**-0.5
        project = partial(Linear, bias=False, dtype=jnp.dtype(config.dtype), rngs=rngs)
        c, d, into = config.width, config.head_width, ("width", "heads")
        self.q = project(c, config.heads * d, axes=into)
        self.k = project(c, config.key_heads * d, axes=into)
        self.v = project(c, config.key_heads * d, axes=into)
        self.o = project(config.heads * d, c, axes=("heads", "width"))
        self.q_norm = RMSNorm(d, epsilon=config.epsilon)
        self.k_norm = RMSNorm(d, epsilon=config.epsilon)

    def __call__(
        self,
        x: Float[Array, "b m c"],
        rotary: Float32[Array, "2 m r"],
        seen: Bool[Array, "b m m"],
    ) -> Float[Array, "b m c"]:
        q, k, v = (self.split(f(x)) for f in (self.q, self.k, self.v))
        heads = q.shape[2]
        q = rotate_halves(self.q_norm(q), jnp.tile(rotary, (1, 1, heads)))
        k = rotate_halves(self.k_norm(k), jnp.tile(rotary, (1, 1, k.shape[2])))
        k, v = (jnp.repeat(y, heads // y.shape[2], axis=2) for y in (k, v))
        logits = product("bqad,bmad->baqm", q, k) * self.scale
        logits = jnp.where(seen[:, None], logits, LOWEST)
        weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
        out = product("baqm,bmad->bqad", weights, v).astype(x.dtype)
        return self.o(out.reshape(*x.shape[:2], -1))

    def split(self, x: Float[Array, "b m c"]) -> Float[Array, "b m a d"]:
        """Splits a projection into heads."""
        return x.reshape(*x.shape[:2], -1, self.head_width)
