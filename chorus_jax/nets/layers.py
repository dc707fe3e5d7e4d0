"""Layers shared by the models: linear, norms, timestep embedding, stacking.

Axis letters, the same in every file of the library:

    b  batch            f h w  latent grid (frames, height, width)
    n  video tokens     m      text tokens      k  active tokens
    a  heads            d      head width       c  model width

The dtype policy: a layer is built with one `dtype`, which its weights and activations
have (bfloat16 in production, float32 for parity). Norms, softmax, rotary positions and
modulation always compute in float32, and norm and modulation weights are stored in
float32. Matrix products are in `chorus_jax.nets.products`.

A parameter carries `axes`, one logical name per dimension, which
`chorus_jax.devices.sharding` turns into a sharding. A stacked parameter has one more
dimension, in front.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.devices import sharding
from chorus_jax.nets.products import matmul


class Linear(nnx.Module):
    """`x @ kernel + bias` over the last axis, for any number of leading axes.

    `axes` names the logical axes of the kernel (inputs, outputs).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        axes: tuple[str | None, str | None] = (None, None),
        bias: bool = True,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        scale = inputs**-0.5
        kernel = scale * rngs.params.normal((inputs, outputs))
        self.kernel = nnx.Param(kernel.astype(dtype), axes=axes)
        self.bias = (
            nnx.Param(jnp.zeros(outputs, dtype), axes=axes[1:]) if bias else None
        )

    def __call__(self, x: Float[Array, "*r i"]) -> Float[Array, "*r o"]:
        kernel = self.kernel[...]
        y = by_rows(x.astype(kernel.dtype), kernel)
        return y if self.bias is None else y + along_last(self.bias[...], y)


def by_rows(
    x: Float[Array, "*r i"],
    kernel: Float[Array, "i o"],
    multiply: Callable[[Array, Array], Array] = matmul,
) -> Float[Array, "*r o"]:
    """The product of each row with the kernel, computed by `multiply`.

    All leading axes are flattened into one, since the gradient of a batched product is
    half as fast on a CPU. Axes are not flattened if tokens are split over devices,
    because flattened rows of several requests could not be split, and each device would
    compute all of them.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or sharding.token_split(mesh) == 1 or x.ndim < 3:
        return multiply(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], -1)
    for _ in x.shape[:-2]:
        multiply = jax.vmap(multiply, in_axes=(0, None))
    return multiply(x, kernel)


class LayerNorm(nnx.Module):
    """Layer norm over the last axis, in float32; without weights if not `affine`."""

    def __init__(self, width: int, *, affine: bool = True, epsilon: float = 1e-6):
        self.epsilon = epsilon
        self.scale = nnx.Param(jnp.ones(width), axes=(None,)) if affine else None
        self.bias = nnx.Param(jnp.zeros(width), axes=(None,)) if affine else None

    def __call__(self, x: Float[Array, "*r c"]) -> Float[Array, "*r c"]:
        y = x.astype(jnp.float32)
        y = y - y.mean(-1, keepdims=True)
        y = y * jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + self.epsilon)
        if self.scale is not None and self.bias is not None:
            y = y * along_last(self.scale[...], y) + along_last(self.bias[...], y)
        return y.astype(x.dtype)


class RMSNorm(nnx.Module):
    """Root-mean-square norm over the last axis, in float32; without weights if not
    `affine`."""

    def __init__(
        self,
        width: int,
        *,
        axis: str | None = None,
        affine: bool = True,
        epsilon: float = 1e-6,
    ):
        self.epsilon = epsilon
        self.scale = nnx.Param(jnp.ones(width), axes=(axis,)) if affine else None

    def __call__(self, x: Float[Array, "*r c"]) -> Float[Array, "*r c"]:
        y = x.astype(jnp.float32)
        y = y * jax.lax.rsqrt(jnp.square(y).mean(-1, keepdims=True) + self.epsilon)
        if self.scale is not None:
            y = y * along_last(self.scale[...], y)
        return y.astype(x.dtype)


class Embedding(nnx.Module):
    """A table of `size` rows, looked up by integer ids."""

    def __init__(
        self,
        size: int,
        width: int,
        *,
        axes: tuple[str | None, str | None] = (None, None),
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        table = rngs.params.normal((size, width))
        self.table = nnx.Param(table.astype(dtype), axes=axes)

    def __call__(self, ids: jax.Array) -> jax.Array:
        return jnp.take(self.table[...], ids, axis=0)


def along_last(vector: Float[Array, " c"], like: Array) -> Array:
    """A vector with the leading axes of `like`, each of size 1."""
    return vector.reshape((1,) * (like.ndim - 1) + vector.shape)


def sinusoidal(
    positions: Float[Array, " *r"], width: int, period: float = 10000.0
) -> Float[Array, "*r c"]:
    """Timestep features: cosines, then sines, of `width / 2` falling frequencies."""
    half = width // 2
    frequencies = jnp.exp(-jnp.log(period) * jnp.arange(half, dtype=jnp.float32) / half)
    angles = positions[..., None] * along_last(frequencies, positions[..., None])
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def stack(make: Callable[[nnx.Rngs], nnx.Module], depth: int, rngs: nnx.Rngs):
    """Makes `depth` modules and stacks them for `jax.lax.scan`: every parameter has a
    leading axis of layers."""
    return jax.vmap(make)(rngs.split(depth))
