"""The precision of matrix products in the kernels, and a number below any logit."""

import jax
import jax.numpy as jnp

# If a block has no keys, exp2(-inf - LOWEST) is 0 and not NaN.
LOWEST = -1e30


def exact(dtype: jnp.dtype) -> jax.lax.Precision:
    """The precision of products of this dtype: full for float32, else the default."""
    single = dtype == jnp.float32
    return jax.lax.Precision.HIGHEST if single else jax.lax.Precision.DEFAULT
