"""The bias of the padded text that Wan attends to."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def tail_bias(lengths: Int[Array, " b"], rows: int, limit: int) -> Float[Array, "b m"]:
    """One number per text row: 0 for words, log(number of padding rows) for the first
    row of padding, minus infinity for the rest.

    A worked case: length 3, 5 rows, limit 512 gives [0, 0, 0, log 509, -inf]. `rows`
    must exceed every length unless it is `limit`.
    """
    row, length = jnp.arange(rows)[None, :], lengths[:, None]
    count = jnp.log(jnp.maximum(limit - length, 1).astype(jnp.float32))
    tail = jnp.where(row == length, count, -jnp.inf)
    return jnp.where(row < length, 0.0, tail)
