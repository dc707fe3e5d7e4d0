"""The text encoder of CLIP with its projection, which embeds prompts for retrieval.

Source of the architecture: arXiv 2103.00020; huggingface/transformers,
models/clip/modeling_clip.py (CLIPTextModelWithProjection).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Float32, Int

from chorus_jax.nets.layers import Embedding, LayerNorm, Linear, stack
from chorus_jax.nets.products import product

# Finite, so that a row whose tokens are all masked gives numbers and not NaN.
LOWEST = float(np.finfo(np.float32).min)

ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    }
)

# The value of `eos` in configs older than huggingface/transformers#24773, which is not
# the id of their end token.
LEGACY_EOS = 2


@runtime_checkable
class CLIPSizes(Protocol):
    """The sizes that a layer of CLIP's text or image encoder reads from its config."""

    @property
    def width(self) -> int: ...

    @property
    def heads(self) -> int: ...

    @property
    def mlp_width(self) -> int: ...

    @property
    def activation(self) -> str: ...

    @property
    def epsilon(self) -> float: ...

    @property
    def dtype(self) -> str: ...


@dataclass(frozen=True)
class CLIPTextConfig:
    """Sizes of a CLIP text encoder; `vit_l_14` is OpenAI's.

    Attributes:
        width: channels of the tokens.
        depth: the number of layers.
        heads: heads of self-attention.
        mlp_width: channels within the feed-forward network.
        projection_width: channels of the pooled embedding.
        vocab: the number of token ids.
        positions: the largest number of tokens in a text.
        eos: id of the end token; a text is pooled at the first token with this id. If
            `eos` is 2, it is pooled at its largest id instead.
        activation: activation of the feed-forward network, one of `ACTIVATIONS`.
        epsilon: epsilon of the norms.
        dtype: dtype of weights and computation.
    """

    width: int
    depth: int
    heads: int
    mlp_width: int
    projection_width: int
    vocab: int = 49408
    positions: int = 77
    eos: int = 49407
    activation: str = "quick_gelu"
    epsilon: float = 1e-5
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"{self.activation=} is not known: choose one of {list(ACTIVATIONS)}"
            )
        if self.width % self.heads:
            raise ValueError(f"{self.width=} does not divide into {self.heads=}")

    @classmethod
    def vit_l_14(cls, dtype: str = "bfloat16") -> "CLIPTextConfig":
        """The text encoder of OpenAI's ViT-L/14."""
        return cls(
            width=768,
            depth=12,
            heads=12,
            mlp_width=3072,
            projection_width=768,
            dtype=dtype,
        )


class CLIPTextEncoder(nnx.Module):
    """Encodes token ids as text embeddings; the layers are stacked and scanned."""

    def __init__(self, config: CLIPTextConfig, *, rngs: nnx.Rngs):
        c, dtype = config.width, jnp.dtype(config.dtype)
        self.config = config
        self.tokens = Embedding(
            config.vocab, c, axes=("vocab", "width"), dtype=dtype, rngs=rngs
        )
        self.positions = Embedding(
            config.positions, c, axes=(None, "width"), dtype=dtype, rngs=rngs
        )
        self.layers = stack(lambda rngs: Block(config, rngs=rngs), config.depth, rngs)
        self.norm = LayerNorm(c, epsilon=config.epsilon)
        self.projection = Linear(
            c,
            config.projection_width,
            axes=("width", None),
            bias=False,
            dtype=dtype,
            rngs=rngs,
        )

    def __call__(
        self, ids: Int[Array, "b m"], mask: Bool[Array, "b m"]
    ) -> tuple[Float[Array, "b m c"], Float[Array, "b e"]]:
        """Embeddings of all tokens, and the projected embedding of each text's end
        token.

        Raises:
            ValueError: if the text has more tokens than the model has positions.
        """
        m, limit = ids.shape[1], self.config.positions
        if m > limit:
            raise ValueError(f"{m} tokens are more than {limit=}: cut the text first")
        x = self.tokens(ids) + self.positions.table[...][None, :m]
        position = jnp.arange(m)
        earlier = position[None, :] <= position[:, None]
        seen = earlier[None] & mask[:, None, :]

        def layer(x: Array, block: Block) -> tuple[Array, None]:
            return block(x, seen), None

        hidden = self.norm(jax.lax.scan(layer, x, self.layers)[0])
        end = end_of_text(ids, self.config.eos)
        pooled = jnp.take_along_axis(hidden, end[:, None, None], axis=1)[:, 0]
        return hidden, self.projection(pooled)

    def unit_embedding(
        self, ids: Int[Array, "b m"], mask: Bool[Array, "b m"]
    ) -> Float32[Array, "b e"]:
        """The projected embedding at norm 1, so that dot products are cosines."""
        projected = self(ids, mask)[1].astype(jnp.float32)
        return projected / jnp.linalg.norm(projected, axis=-1, keepdims=True)


class Block(nnx.Module):
    """A transformer layer: self-attention and feed-forward network with pre-norms and
    residual connections."""

    def __init__(self, config: CLIPSizes, *, rngs: nnx.Rngs):
        c, hidden, dtype = config.width, config.mlp_width, jnp.dtype(config.dtype)
        self.activation = ACTIVATIONS[config.activation]
        self.attn_norm = LayerNorm(c, epsilon=config.epsilon)
        self.attn = Attention(config, rngs=rngs)
        self.mlp_norm = LayerNorm(c, epsilon=config.epsilon)
        self.inner = Linear(c, hidden, axes=("width", "mlp"), dtype=dtype, rngs=rngs)
        self.outer = Linear(hidden, c, axes=("mlp", "width"), dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b m c"], seen: Bool[Array, "b m m"]
    ) -> Float[Array, "b m c"]:
        x = x + self.attn(self.attn_norm(x), seen)
        return x + self.outer(self.activation(self.inner(self.mlp_norm(x))))


class Attention(nnx.Module):
    """Self-attention; `seen` is True where a query (row) attends to a key (column)."""

    def __init__(self, config: CLIPSizes, *, rngs: nnx.Rngs):
        self.heads, c = config.heads, config.width
        dtype, into = jnp.dtype(config.dtype), ("width", "heads")
        self.q = Linear(c, c, axes=into, dtype=dtype, rngs=rngs)
        self.k = Linear(c, c, axes=into, dtype=dtype, rngs=rngs)
        self.v = Linear(c, c, axes=into, dtype=dtype, rngs=rngs)
        self.o = Linear(c, c, axes=("heads", "width"), dtype=dtype, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b m c"], seen: Bool[Array, "b m m"]
    ) -> Float[Array, "b m c"]:
        b, m, c = x.shape
        q, k, v = (f(x).reshape(b, m, self.heads, -1) for f in (self.q, self.k, self.v))
        logits = product("bqad,bmad->baqm", q, k)
        scaled = logits * (c // self.heads) ** -0.5
        weights = jax.nn.softmax(jnp.where(seen[:, None], scaled, LOWEST), axis=-1)
        out = product("baqm,bmad->bqad", weights.astype(v.dtype), v)
        return self.o(out.astype(x.dtype).reshape(b, m, c))


def end_of_text(ids: Int[Array, "b m"], eos: int) -> Int[Array, " b"]:
    """The position at which each text is pooled; 0 if the text has no token `eos`."""
    return jnp.argmax(ids if eos == LEGACY_EOS else ids == eos, axis=-1)
