"""Matrix products and their precision.

Products of float32 numbers are `exact`; TPUs and GPUs would round them by default.
Under `jax.default_matmul_precision("bfloat16")` linear layers round their factors to
bfloat16 and sum in float32, on every platform and in gradients too. That is several
times faster on CPUs with matrix units.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from chorus_jax.devices import sharding


def exact(dtype: jnp.dtype) -> jax.lax.Precision:
    """The precision argument for products of this dtype: the highest for float32."""
    single = dtype == jnp.float32
    return jax.lax.Precision.HIGHEST if single else jax.lax.Precision.DEFAULT


def product(spec: str, one: Array, other: Array) -> Array:
    """An einsum with a float32 result, without rounding float32 factors."""
    return jnp.einsum(
        spec,
        one,
        other,
        precision=exact(one.dtype),
        preferred_element_type=jnp.float32,
    )


def matmul(rows: Float[Array, "r i"], kernel: Float[Array, "i o"]) -> Array:
    """rows @ kernel: exact, or with rounded factors under
    `jax.default_matmul_precision("bfloat16")`."""
    # getattr for mypy, which does not see the settings that jax makes at run time.
    precision = getattr(jax.config, "jax_default_matmul_precision")
    if precision == "bfloat16" and kernel.dtype == jnp.float32:
        return rounded(rows, kernel)
    return jnp.matmul(rows, kernel, precision=exact(kernel.dtype))


@jax.custom_vjp
def rounded(
    rows: Float[Array, "r i"], kernel: Float[Array, "i o"]
) -> Float[Array, "r o"]:
    """rows @ kernel in float32, of factors rounded to bfloat16."""
    return summed(*low(rows, kernel))


def forward(rows: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    """The product, and the rounded factors, which its gradient needs."""
    one, other = low(rows, kernel)
    return summed(one, other), (one, other)


def gradient(
    factors: tuple[Array, Array], cotangent: Float[Array, "r o"]
) -> tuple[Float[Array, "r i"], Float[Array, "i o"]]:
    """Cotangents of rows and kernel."""
    rows, kernel = factors
    (change,) = low(cotangent)
    if rows.shape[1] <= change.shape[1]:
        return summed(change, transposed(kernel)), summed(transposed(rows), change)
    # The narrower of the two factors is transposed.
    (turned,) = jax.lax.optimization_barrier((summed(transposed(change), rows),))
    return summed(change, transposed(kernel)), turned.T


rounded.defvjp(forward, gradient)


def low(*factors: Array) -> tuple[Array, ...]:
    """The factors rounded to bfloat16, behind an optimization barrier.

    Without the barrier XLA would fuse the rounding into the product, which would then
    not use a CPU's matrix units.
    """
    return jax.lax.optimization_barrier(tuple(x.astype(jnp.bfloat16) for x in factors))


def summed(one: Array, other: Array) -> Float[Array, "r o"]:
    """The product with sums in float32."""
    return jnp.matmul(one, other, preferred_element_type=jnp.float32)


def transposed(x: Array) -> Array:
    """The transpose; on a CPU computed exactly as a product with the identity.

    XLA would fuse a plain transpose into the product that uses it, which would then not
    use the CPU's matrix units.
    """
    if sharding.platform() != "cpu":
        return x.T
    one = jnp.eye(x.shape[1], dtype=x.dtype)
    across = (((1,), (1,)), ((), ()))
    return low(jax.lax.dot_general(one, x, across, preferred_element_type=jnp.float32))[
        0
    ]
