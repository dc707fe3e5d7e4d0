"""Amplified cross-attention in plain jnp: the definition of the kernel.

Letters: b batch, n video tokens, m text tokens, a heads, d head width.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from kernels_pallas.products import exact


class Text(NamedTuple):
    """Keys and values of the text, with the gains and the bias of each key.

    Attributes:
        key: the keys.
        value: the values.
        gain: a factor on the logits of each key.
        bias: added to these logits, after the gain.
        output_gain: a factor on the output of each row of the batch.
    """

    key: Float[Array, "b m a d"]
    value: Float[Array, "b m a d"]
    gain: Float32[Array, "b m"]
    bias: Float32[Array, "b m"]
    output_gain: Float32[Array, " b"]


def attend(
    query: Float[Array, "b n a d"],
    text: Text,
    residual: Float[Array, "b n a d"] | None,
    interpret: bool = False,
) -> Float[Array, "b n a d"]:
    """residual + output_gain softmax(gain query key^T / sqrt(d) + bias) value."""
    precision = exact(query.dtype)
    logits = jnp.einsum(
        "bnad,bmad->banm",
        query,
        text.key,
        precision=precision,
        preferred_element_type=jnp.float32,
    )
    logits = logits * (text.gain * query.shape[-1] ** -0.5)[:, None, None]
    logits = logits + text.bias[:, None, None]
    highest = jnp.max(logits, -1, keepdims=True)
    # If all keys are dropped, this is exp(-inf - 0) = 0 and not exp(-inf + inf).
    weights = jnp.exp(logits - jnp.where(jnp.isfinite(highest), highest, 0.0))
    total = weights.sum(-1)
    out = jnp.einsum(
        "banm,bmad->bnad",
        weights.astype(text.value.dtype),
        text.value,
        precision=precision,
        preferred_element_type=jnp.float32,
    )
    out = out / jnp.where(total > 0, total, 1.0).transpose(0, 2, 1)[..., None]
    out = out * text.output_gain[:, None, None, None]
    if residual is not None:
        out = out + residual.astype(jnp.float32)
    return out.astype(query.dtype)
