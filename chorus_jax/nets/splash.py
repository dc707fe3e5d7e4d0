"""Splash attention of the jax library, for TPUs."""

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel as splash_kernel,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask as splash_mask,
)
from jaxtyping import Array, Float


def attend(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
) -> Float[Array, "b n a d"]:
    """Attention with a full mask; odd lengths are padded and masked."""
    b, n, a, d = query.shape
    m = key.shape[1]
    block_q, block_kv = min(1024, n + -n % 128), min(1024, m + -m % 128)
    pad_q, pad_kv = -n % block_q, -m % block_kv
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (query * d**-0.5, key, value))
    q = jnp.pad(q, ((0, 0), (0, 0), (0, pad_q), (0, 0)))
    k, v = (jnp.pad(x, ((0, 0), (0, 0), (0, pad_kv), (0, 0))) for x in (k, v))
    mask = splash_mask.FullMask((n + pad_q, m + pad_kv))
    kernel = splash_kernel.make_splash_mha(
        splash_mask.MultiHeadMask([mask] * a),
        block_sizes=splash_kernel.BlockSizes(block_q=block_q, block_kv=block_kv),
        head_shards=1,
        q_seq_shards=1,
    )
    segments = splash_kernel.SegmentIds(
        q=jnp.zeros(n + pad_q, jnp.int32),
        kv=(jnp.arange(m + pad_kv) >= m).astype(jnp.int32),
    )
    out = jax.vmap(kernel, in_axes=(0, 0, 0, None))(q, k, v, segments)
    return out[:, :, :n].transpose(0, 2, 1, 3).astype(query.dtype)
