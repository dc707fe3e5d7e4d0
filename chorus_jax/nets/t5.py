"""The T5 text encoder, and UMT5, which has a position bias of its own in every layer.

Source of the architecture: arXiv 1910.10683, 2002.05202 (gated GELU), 2304.09151
(UMT5); huggingface/transformers, models/umt5/modeling_umt5.py.
"""

import math
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, Int

from chorus_jax.nets.layers import Embedding, Linear, RMSNorm, stack
from chorus_jax.nets.products import product

# Finite, so that a row whose tokens are all masked gives numbers and not NaN.
LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class T5Config:
    """Sizes of a T5 encoder; `umt5_xxl` is Wan's, `t5_xxl` is LTX-Video's.

    Attributes:
        width: channels of the embeddings.
        depth: the number of layers.
        heads: heads of self-attention.
        mlp_width: channels within the gated feed-forward network.
        vocab: the number of token ids.
        head_width: channels of a head.
        buckets: the number of buckets of relative distances (see `bucket`).
        max_distance: all distances from here on share a bucket.
        relative_bias_every_layer: whether each layer has its own position bias; False
            (plain T5) shares one among all layers.
        epsilon: epsilon of the norms.
        dtype: dtype of weights and computation.

    Raises:
        ValueError: if no bucket is left for long distances.
    """

    width: int
    depth: int
    heads: int
    mlp_width: int
    vocab: int
    head_width: int = 64
    buckets: int = 32
    max_distance: int = 128
    relative_bias_every_layer: bool = True
    epsilon: float = 1e-6
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.buckets < 4 or self.max_distance <= self.buckets // 4:
            raise ValueError(
                f"{self.buckets=} must be at least 4, and {self.max_distance=} more "
                "than a quarter of it: no bucket is left for long distances"
            )

    @classmethod
    def umt5_xxl(cls, dtype: str = "bfloat16") -> "T5Config":
        """UMT5-XXL, the text encoder of Wan."""
        return cls(
            width=4096, depth=24, heads=64, mlp_width=10240, vocab=256384, dtype=dtype
        )

    @classmethod
    def t5_xxl(cls, dtype: str = "bfloat16") -> "T5Config":
        """T5-XXL v1.1, the text encoder of LTX-Video: one position bias for all
        layers."""
        return cls(
            width=4096,
            depth=24,
            heads=64,
            mlp_width=10240,
            vocab=32128,
            relative_bias_every_layer=False,
            dtype=dtype,
        )


class T5Encoder(nnx.Module):
    """Encodes token ids as text embeddings; the layers are stacked and scanned."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        dtype = jnp.dtype(config.dtype)
        self.config = config
        self.embedding = Embedding(
            config.vocab, config.width, axes=("vocab", "width"), dtype=dtype, rngs=rngs
        )
        every = config.relative_bias_every_layer
        self.bias = None if every else PositionBias(config, rngs=rngs)
        self.layers = stack(lambda rngs: Block(config, rngs=rngs), config.depth, rngs)
        self.norm = RMSNorm(config.width, axis="width", epsilon=config.epsilon)

    def __call__(
        self, ids: Int[Array, "b m"], mask: Bool[Array, "b m"]
    ) -> Float[Array, "b m c"]:
        """The embeddings of all tokens. `mask` is False for padding, which no token
        attends to."""
        shared = None if self.bias is None else self.bias(ids.shape[1])

        def layer(x: Array, block: Block) -> tuple[Array, None]:
            return block(x, mask, shared), None

        return self.norm(jax.lax.scan(layer, self.embedding(ids), self.layers)[0])


class Block(nnx.Module):
    """A transformer layer: self-attention and feed-forward network with pre-norms and
    residual connections."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        c, epsilon = config.width, config.epsilon
        every = config.relative_bias_every_layer
        self.bias = PositionBias(config, rngs=rngs) if every else None
        self.attn_norm = RMSNorm(c, axis="width", epsilon=epsilon)
        self.attn = Attention(config, rngs=rngs)
        self.mlp_norm = RMSNorm(c, axis="width", epsilon=epsilon)
        self.mlp = GatedMlp(config, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b m c"],
        mask: Bool[Array, "b m"],
        shared: Float32[Array, "a m m"] | None,
    ) -> Float[Array, "b m c"]:
        bias = cast(Array, shared) if self.bias is None else self.bias(x.shape[1])
        x = x + self.attn(self.attn_norm(x), mask, bias)
        return x + self.mlp(self.mlp_norm(x))


class Attention(nnx.Module):
    """Self-attention with a position bias and, as in all T5 models, unscaled logits."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        self.heads, c = config.heads, config.width
        inner, dtype = config.heads * config.head_width, jnp.dtype(config.dtype)
        into, out = ("width", "heads"), ("heads", "width")
        self.q = Linear(c, inner, axes=into, bias=False, dtype=dtype, rngs=rngs)
        self.k = Linear(c, inner, axes=into, bias=False, dtype=dtype, rngs=rngs)
        self.v = Linear(c, inner, axes=into, bias=False, dtype=dtype, rngs=rngs)
        self.o = Linear(inner, c, axes=out, bias=False, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b m c"],
        mask: Bool[Array, "b m"],
        bias: Float32[Array, "a m m"],
    ) -> Float[Array, "b m c"]:
        b, m, _ = x.shape
        q, k, v = (f(x).reshape(b, m, self.heads, -1) for f in (self.q, self.k, self.v))
        logits = product("bqad,bmad->baqm", q, k)
        logits = jnp.where(mask[:, None, None, :], logits + bias[None], LOWEST)
        weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
        out = product("baqm,bmad->bqad", weights, v).astype(x.dtype)
        return self.o(out.reshape(b, m, -1))


@runtime_checkable
class GatedMlpSizes(Protocol):
    """The fields of an encoder's config that its feed-forward network reads.

    Attributes:
        width: channels of the embeddings.
        mlp_width: channels within the network.
        dtype: dtype of weights and computation.
    """

    @property
    def width(self) -> int: ...

    @property
    def mlp_width(self) -> int: ...

    @property
    def dtype(self) -> str: ...


class GatedMlp(nnx.Module):
    """Gated feed-forward network: `outer(gelu(gate(x)) * inner(x))`, with three linear
    layers and GELU in its tanh form."""

    def __init__(self, config: GatedMlpSizes, *, rngs: nnx.Rngs):
        c, hidden, dtype = config.width, config.mlp_width, jnp.dtype(config.dtype)
        into, out = ("width", "mlp"), ("mlp", "width")
        self.gate = Linear(c, hidden, axes=into, bias=False, dtype=dtype, rngs=rngs)
        self.inner = Linear(c, hidden, axes=into, bias=False, dtype=dtype, rngs=rngs)
        self.outer = Linear(hidden, c, axes=out, bias=False, dtype=dtype, rngs=rngs)

    def __call__(self, x: Float[Array, "*r c"]) -> Float[Array, "*r c"]:
        gate = jax.nn.gelu(self.gate(x), approximate=True)
        return self.outer(gate * self.inner(x))


class PositionBias(nnx.Module):
    """A learned number per head and bucket of distances, added to the logits."""

    def __init__(self, config: T5Config, *, rngs: nnx.Rngs):
        self.max_distance = config.max_distance
        shape = (config.buckets, config.heads)
        table = rngs.params.normal(shape).astype(config.dtype)
        self.table = nnx.Param(table, axes=(None, "heads"))

    def __call__(self, m: int) -> Float32[Array, "a m m"]:
        """The bias of every head, query and key in a text of `m` tokens."""
        table = self.table[...].astype(jnp.float32)
        distances = np.arange(1 - m, m)
        rows = table[bucket(distances, table.shape[0], self.max_distance)]
        position = jnp.arange(m)
        distance = position[None, :] - position[:, None]
        return rows[distance + m - 1].transpose(2, 0, 1)


def bucket(
    distance: Int[np.ndarray, " n"], buckets: int, max_distance: int
) -> Int[np.ndarray, " n"]:
    """The bucket of a distance (key's position minus query's).

    The first half of the buckets is for keys before the query, the second for keys
    after it. In each half, the first buckets hold one distance each; the other buckets
    are spaced logarithmically up to `max_distance`. For example, with 32 buckets and a
    `max_distance` of 128 the distances 0, -1, -7, -8, -12, -16, -200 and 1 are in the
    buckets 0, 1, 7, 8, 9, 10, 15 and 17.
    """
    half, exact = buckets // 2, buckets // 4
    away = np.abs(distance)
    # The sum's last term keeps a power of two from falling below its own bucket.
    far = np.log(np.maximum(away, 1) / exact) / math.log(max_distance / exact)
    far = exact + np.floor(far * (half - exact) + 1e-9).astype(int)
    return half * (distance > 0) + np.where(
        away < exact, away, np.minimum(far, half - 1)
    )
