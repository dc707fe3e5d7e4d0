"""Amplified cross-attention: video queries over a short text, all of it scaled."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from kernels_pallas import dispatch, tile_ids
from kernels_pallas.amplified_cross_attention.reference import Region, Text

NAME = "amplified_cross_attention"
MOST_KEYS = 512


def amplified_cross_attention(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
    *,
    bias: Float32[Array, "b m"] | None = None,
    key_gain: Float32[Array, "b m"] | None = None,
    output_gain: Float32[Array, " b"] | None = None,
    residual: Float[Array, "b n a d"] | None = None,
    active: Int[Array, "b k"] | None = None,
    size: int | None = None,
    out: Float[Array, "b n a d"] | None = None,
    implementation: str | None = None,
) -> Float[Array, "b n a d"]:
    """residual + output_gain softmax(query (key_gain key)^T / sqrt(d) + bias) value.

    At most 512 keys: they stay on the chip while queries stream past, and there are no
    logits in memory. Gains are 1 and bias and residual 0 unless given; a bias of log(r)
    counts a key r times, minus infinity drops it. A query without any key gets its
    residual. Wan projects the output before it adds its tokens, so a residual there is
    what else goes through that projection: the attention to an image.

    With `active`, the n tokens are tiles of `size`, and only those tiles are run, each
    at most once; a negative one is padding, comes last, and costs nothing. Their
    outputs are written into `out` (in place where the caller lets go of it), whose
    other tiles stay as they are (without `out`: zeros).

    Raises ValueError for arrays that do not go together and for impossible numbers of
    tiles (where they are known: not while a program is traced), NotImplementedError
    where the implementation refuses (`kernels_pallas.dispatch`).
    """
    b, n, m = *query.shape[:2], key.shape[1]
    if m > MOST_KEYS:
        raise ValueError(f"{m} keys are more than {MOST_KEYS}: use plain attention")
    check_dtypes(query, key, value, residual, out)
    region = None
    if active is not None:
        if size is None or n % size:
            raise ValueError(f"{n} tokens: tiles need a size that divides, got {size}")
        tile_ids.check("active", active, n // size)
        region = Region(active, size, jnp.zeros_like(query) if out is None else out)
    elif out is not None or size is not None:
        raise ValueError("out= and size= are for active=, which is missing")
    text = Text(
        key,
        value,
        jnp.ones((b, m), jnp.float32) if key_gain is None else key_gain,
        jnp.zeros((b, m), jnp.float32) if bias is None else bias,
        jnp.ones(b, jnp.float32) if output_gain is None else output_gain,
    )
    attend = dispatch.variant(NAME, implementation, query)
    interpret = dispatch.choose(implementation).endswith("_interpreted")
    return attend(query, text, residual, region, interpret)


def check_dtypes(query: Array, *others: Array | None) -> None:
    """ValueError unless all have the queries' dtype."""
    found = [str(x.dtype) for x in others if x is not None]
    if set(found) != {str(query.dtype)}:
        raise ValueError(
            f"queries are {query.dtype}, but keys, values and so on {found}: cast them"
        )
