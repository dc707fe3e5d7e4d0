"""Modulation by the timestep (adaptive norms, arXiv 2212.09748), the modulated output
head, and the MLP."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from chorus_jax.nets.layers import LayerNorm, Linear, RMSNorm


def enter(norm: LayerNorm | RMSNorm, x: Array, shift: Array, scale: Array) -> Array:
    """Modulated norm: `norm(x) * (1 + scale) + shift`, computed in float32."""
    y = norm(x.astype(jnp.float32)) * (1 + scale) + shift
    return y.astype(x.dtype)


def leave(x: Array, update: Array, gate: Array) -> Array:
    """Gated residual connection: `x + update * gate`, computed in float32."""
    y = x.astype(jnp.float32) + update.astype(jnp.float32) * gate
    return y.astype(x.dtype)


class TokenTimes(NamedTuple):
    """Modulation inputs of tokens that have only a few different timesteps.

    Attributes:
        rows: the inputs of each of the k timesteps.
        kinds: the index of each token's timestep in `rows`.
    """

    rows: Float[Array, "b k *s c"]
    kinds: Int[Array, " *b n"]

    def of_tokens(self, x: Float[Array, "b k c"]) -> Float[Array, "b n c"]:
        """Expands one row per timestep to one row per token."""
        if self.kinds.ndim == 1:
            return x[:, self.kinds]
        return jnp.take_along_axis(x, self.kinds[..., None], axis=1)


def modulate(
    table: Float[Array, "s c"], times: Float[Array, " b *n #s c"] | TokenTimes
) -> list[Array]:
    """The modulation vectors of a layer: its learned table plus the timestep's input.

    Args:
        table: s learned vectors, such as shifts, scales and gates.
        times: the projected timestep, per request or per token; for each of the s
            vectors, or one (`#s`) that is added to all of them.

    Returns:
        The s sums, each [b 1 c], or [b n c] with timesteps per token.
    """
    if isinstance(times, TokenTimes):
        # There are few timesteps: they are added first, then expanded to tokens.
        total = table[None, None] + times.rows
        rows = [total[:, :, row] for row in range(table.shape[0])]
        return [times.of_tokens(row) for row in rows]
    times = times if times.ndim == 4 else times[:, None]
    total = table[None, None] + times
    return [total[:, :, row] for row in range(table.shape[0])]


class Mlp(nnx.Module):
    """Two linear layers with an activation between them."""

    def __init__(
        self,
        inputs: int,
        hidden: int,
        outputs: int,
        activation: Callable[[Array], Array],
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.activation = activation
        self.inner = Linear(
            inputs, hidden, axes=("width", "mlp"), dtype=dtype, rngs=rngs
        )
        self.outer = Linear(
            hidden, outputs, axes=("mlp", "width"), dtype=dtype, rngs=rngs
        )

    def __call__(self, x: Float[Array, "*r i"]) -> Float[Array, "*r o"]:
        return self.outer(self.activation(self.inner(x)))


class Head(nnx.Module):
    """The output head: projects tokens to patches of velocity after a norm that is
    modulated by the timestep."""

    def __init__(
        self,
        width: int,
        outputs: int,
        epsilon: float,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        table = width**-0.5 * rngs.params.normal((2, width))
        self.modulation = nnx.Param(table, axes=(None, "width"))
        self.norm = LayerNorm(width, affine=False, epsilon=epsilon)
        axes = ("width", None)
        self.linear = Linear(width, outputs, axes=axes, dtype=dtype, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "b n c"],
        times: Float[Array, " b *n c"] | TokenTimes,
    ) -> Float[Array, "b n p"]:
        if isinstance(times, TokenTimes):
            times = times._replace(rows=times.rows[..., None, :])
        else:
            times = times[..., None, :]
        shift, scale = modulate(self.modulation[...], times)
        return self.linear(enter(self.norm, x, shift, scale)).astype(jnp.float32)


def gelu_tanh(x: Array) -> Array:
    """GELU in its tanh form, used on text embeddings and in feed-forward networks."""
    return jax.nn.gelu(x, approximate=True)
