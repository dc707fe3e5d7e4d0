"""Attention by the jax library's splash attention kernel, for TPUs."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_kernel as splash_kernel,
)
from jax.experimental.pallas.ops.tpu.splash_attention import (
    splash_attention_mask as splash_mask,
)
from jaxtyping import Array, Float, Float32

# Queries per block, keys per block, and keys that are computed at a time. By the
# compiler's schedules (Wan 1.3B, 720p, a quarter of the queries) this takes 14 to 19 %
# fewer cycles than blocks of 1024 keys on v5p and v6e, and fewer than other sizes.
QUERIES, KEYS, COMPUTED = 1024, 2048, 512
LANES = 128


def attend(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
) -> Float[Array, "b n a d"]:
    """Attention with a full mask; lengths are padded to whole blocks, and the padding
    is masked."""
    return run(query, key, value, False)


def attend_part(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
) -> tuple[Float32[Array, "b n a d"], Float32[Array, "b n a"]]:
    """`attend` to some of the keys; it has no gradient.

    Returns:
        The outputs, and the logarithm of each query's sum of weights.
    """
    out, total = run(query, key, value, True)
    return out.astype(jnp.float32), total


def run(query: Array, key: Array, value: Array, totals: bool) -> Any:
    """Runs the library's kernel. Returns the outputs and, if `totals`, the logarithm of
    each query's sum of weights."""
    b, n, a, d = query.shape
    m = key.shape[1]
    computed = min(COMPUTED, m + -m % LANES)
    block_q, block_kv = min(QUERIES, n + -n % LANES), min(KEYS, m + -m % computed)
    pad_q, pad_kv = -n % block_q, -m % block_kv
    q, k, v = (x.transpose(0, 2, 1, 3) for x in (query * d**-0.5, key, value))
    q = jnp.pad(q, ((0, 0), (0, 0), (0, pad_q), (0, 0)))
    k, v = (jnp.pad(x, ((0, 0), (0, 0), (0, pad_kv), (0, 0))) for x in (k, v))
    mask = splash_mask.FullMask((n + pad_q, m + pad_kv))
    kernel = splash_kernel.make_splash_mha(
        splash_mask.MultiHeadMask([mask] * a),
        block_sizes=splash_kernel.BlockSizes(
            block_q=block_q, block_kv=block_kv, block_kv_compute=computed
        ),
        save_residuals=totals,
        head_shards=1,
        q_seq_shards=1,
    )
    segments = splash_kernel.SegmentIds(
        q=jnp.zeros(n + pad_q, jnp.int32),
        kv=(jnp.arange(m + pad_kv) >= m).astype(jnp.int32),
    )
    out = jax.vmap(kernel, in_axes=(0, 0, 0, None))(q, k, v, segments)
    out, sums = out if totals else (out, [])
    out = out[:, :, :n].transpose(0, 2, 1, 3).astype(query.dtype)
    return (out, sums[0][:, :, :n].transpose(0, 2, 1)) if totals else out
