"""What the Mosaic TPU kernels share."""

import jax.numpy as jnp


def refusal(dtype: jnp.dtype, width: int) -> str | None:
    """Why heads of this dtype and width are refused, None if they are not."""
    if dtype not in (jnp.bfloat16, jnp.float32):
        return f"{dtype} is neither bfloat16 nor float32"
    return None
