"""Products in the kernels: their precision, and the number below any logit."""

import jax
import jax.numpy as jnp

# Where a block has no keys, exp2(-inf - LOWEST) is 0 and not nan.
LOWEST = -1e30


def exact(dtype: jnp.dtype) -> jax.lax.Precision:
    """The precision of products of this dtype: float32 means float32."""
    single = dtype == jnp.float32
    return jax.lax.Precision.HIGHEST if single else jax.lax.Precision.DEFAULT
