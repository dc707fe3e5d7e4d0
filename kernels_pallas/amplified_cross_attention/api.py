"""Amplified cross-attention: video queries over a short text, with gains."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from kernels_pallas import dispatch
from kernels_pallas.amplified_cross_attention.reference import Text

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
    implementation: str | None = None,
) -> Float[Array, "b n a d"]:
    """residual + output_gain softmax(query (key_gain key)^T / sqrt(d) + bias) value.

    At most 512 keys: they stay on the chip while queries stream past, and logits are
    never written to memory. A query whose keys are all dropped gets only its residual,
    or zeros without one.

    Args:
        query: queries of the video.
        key: keys of the text.
        value: values of the text.
        bias: one number per key: minus infinity drops it, log(r) counts it r times.
        key_gain: a factor of each key; 1 unless given.
        output_gain: a factor of each row's output; 1 unless given.
        residual: added to the output. In Wan this is the attention to an image, which
            goes through the same output projection.
        implementation: the implementation that must run; None chooses by
            `kernels_pallas.dispatch`.

    Raises:
        ValueError: if dtypes differ, or if there are too many keys.
        NotImplementedError: if the implementation does not support these arrays.
    """
    b, m = key.shape[:2]
    if m > MOST_KEYS:
        raise ValueError(f"{m} keys are more than {MOST_KEYS}: use plain attention")
    check_dtypes(query, key, value, residual)
    text = Text(
        key,
        value,
        jnp.ones((b, m), jnp.float32) if key_gain is None else key_gain,
        jnp.zeros((b, m), jnp.float32) if bias is None else bias,
        jnp.ones(b, jnp.float32) if output_gain is None else output_gain,
    )
    attend = dispatch.variant(NAME, implementation, query, key)
    interpret = dispatch.choose(implementation).endswith("_interpreted")
    return attend(query, text, residual, interpret)


def check_dtypes(query: Array, *others: Array | None) -> None:
    """Raises a ValueError unless all arrays have the queries' dtype."""
    dtypes = [str(x.dtype) for x in others if x is not None]
    if set(dtypes) != {str(query.dtype)}:
        raise ValueError(
            f"queries are {query.dtype}, but keys, values and so on {dtypes}: cast them"
        )
