"""Helpers shared by the Mosaic TPU kernels."""

import jax.numpy as jnp

from kernels_pallas.dispatch import Query


def refusal(query: Query, *keys: Query) -> str | None:
    """The reason why queries [..., a, d] are refused; None if they are accepted."""
    if query.dtype not in (jnp.bfloat16, jnp.float32):
        return f"{query.dtype} is neither bfloat16 nor float32"
    return None
