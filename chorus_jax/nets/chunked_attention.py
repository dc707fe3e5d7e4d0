"""Attention and its gradient in plain XLA, over blocks of queries and heads.

Neither keeps n x m numbers: as in FlashAttention (arXiv 2205.14135), the gradient
recomputes the weights block by block from the logarithm of their sum.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from chorus_jax.devices import sharding
from chorus_jax.nets.products import product

# Bytes of logits that are computed at a time. On a CPU it is a few times the size of
# the second-level cache: at 1280 to 4096 tokens that is two to five times as fast as
# all logits at once, and up to a third faster than half or four times as many bytes.
# Elsewhere it only bounds memory.
LOGITS = {"cpu": 2**22}
LOGITS_DEFAULT = 2**29


def chunked(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
    bias: Float[Array, "b m"] | None,
) -> Float[Array, "b n a d"]:
    """softmax(query key^T / sqrt(d) + bias) value over blocks of heads and queries."""
    b, n, a, d = query.shape
    out = attend(*by_head(query, key, value, bias))
    return out.reshape(b, a, n, d).transpose(0, 2, 1, 3)


def chunked_part(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
    bias: Float[Array, "b m"] | None,
) -> tuple[Float32[Array, "b n a d"], Float32[Array, "b n a"]]:
    """`chunked` attention to some of the keys.

    Returns:
        The outputs, and the logarithm of each query's sum of weights, from which
        attention to further keys can be added.
    """
    b, n, a, d = query.shape
    out, total = forward(*by_head(query, key, value, bias))
    out = out.reshape(b, a, n, d).transpose(0, 2, 1, 3).astype(jnp.float32)
    return out, total.reshape(b, a, n).transpose(0, 2, 1)


def by_head(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
    bias: Float[Array, "b m"] | None,
) -> tuple[Array, Array, Array, Array]:
    """Queries, keys and values with one row per request and head, and the bias of each
    row's keys (zeros for None)."""
    (b, _, a, d), m = query.shape, key.shape[1]
    q, k, v = (
        x.transpose(0, 2, 1, 3).reshape(b * a, -1, d) for x in (query, key, value)
    )
    offset = (
        jnp.zeros((b, m), jnp.float32) if bias is None else bias.astype(jnp.float32)
    )
    return q, k, v, jnp.repeat(offset, a, axis=0)


@jax.custom_vjp
def attend(
    q: Float[Array, "z n d"],
    k: Float[Array, "z m d"],
    v: Float[Array, "z m d"],
    offset: Float[Array, "z m"],
) -> Float[Array, "z n d"]:
    """Attention of z heads, each with its own keys and an offset per key."""
    return forward(q, k, v, offset)[0]


def forward(
    q: Array, k: Array, v: Array, offset: Array
) -> tuple[Float[Array, "z n d"], Float[Array, "z n"]]:
    """The outputs, and the logarithm of each query's sum of weights."""
    rows, heads = block_sizes(q.shape[1], k.shape[1])

    def head(operands: tuple[Array, ...]) -> tuple[Array, Array]:
        q, *keys = operands
        return jax.lax.map(lambda q: softmax_rows(q, *keys), q)

    out, total = jax.lax.map(head, (in_blocks(q, rows), k, v, offset), batch_size=heads)
    return joined(out, q.shape[1]), joined(total, q.shape[1])


def residuals(q: Array, k: Array, v: Array, offset: Array) -> tuple[Array, tuple]:
    """The outputs, and the arrays that the gradient needs."""
    out, total = forward(q, k, v, offset)
    return out, (q, k, v, offset, out, total)


def backward(residuals: tuple, cotangent: Float[Array, "z n d"]) -> tuple[Array, ...]:
    """Cotangents of queries, keys, values and offsets."""
    q, k, v, offset, out, total = residuals
    rows, heads = block_sizes(q.shape[1], k.shape[1])

    def head(operands: tuple[Array, ...]) -> tuple[Array, ...]:
        *queries, k, v, offset = operands
        start = [jnp.zeros(x.shape, jnp.float32) for x in (k, v, offset)]

        def block(sums: list, queries: list) -> tuple[list, Array]:
            q, out, total, cotangent = queries
            own, *shares = gradient_rows(q, out, total, cotangent, k, v, offset)
            return [x + y for x, y in zip(sums, shares)], own

        sums, own = jax.lax.scan(block, start, queries)
        return own, *sums

    blocks = [in_blocks(x, rows) for x in (q, out, total, cotangent)]
    own, *sums = jax.lax.map(head, (*blocks, k, v, offset), batch_size=heads)
    gradients = (joined(own, q.shape[1]), *sums)
    return tuple(x.astype(like.dtype) for x, like in zip(gradients, (q, k, v, offset)))


attend.defvjp(residuals, backward)


def block_sizes(n: int, m: int) -> tuple[int, int | None]:
    """Queries per block, and heads at a time (None for one), for n queries and m keys.

    Queries are spread evenly over the blocks, because padding of the last block would
    be computed too.
    """
    budget = LOGITS.get(sharding.platform(), LOGITS_DEFAULT) // 4
    blocks = -(-n // max(128, budget // m))
    rows = -(-n // blocks)
    heads = max(1, budget // (m * rows))
    return rows, heads if heads > 1 else None


def in_blocks(x: Float[Array, " z n *d"], rows: int) -> Float[Array, " z i r *d"]:
    """Splits queries into blocks, the last one padded with zeros."""
    pad = [(0, 0)] * x.ndim
    pad[1] = (0, -x.shape[1] % rows)
    return jnp.pad(x, pad).reshape(x.shape[0], -1, rows, *x.shape[2:])


def joined(x: Float[Array, " z i r *d"], n: int) -> Float[Array, " z n *d"]:
    """Joins blocks of queries and drops the padding after the first n."""
    return x.reshape(x.shape[0], -1, *x.shape[3:])[:, :n]


def logits_of(q: Array, k: Array, offset: Array) -> Float[Array, "r m"]:
    """Scaled logits of a block of queries of one head."""
    return product("rd,md->rm", q, k) * q.shape[-1] ** -0.5 + offset[None, :]


def softmax_rows(
    q: Float[Array, "r d"],
    k: Float[Array, "m d"],
    v: Float[Array, "m d"],
    offset: Float[Array, " m"],
) -> tuple[Float[Array, "r d"], Float[Array, " r"]]:
    """Attention of a block of queries of one head, and the logarithm of each query's
    sum of weights."""
    logits = logits_of(q, k, offset)
    highest = logits.max(-1, keepdims=True)
    weights = jnp.exp(logits - highest)
    total = weights.sum(-1, keepdims=True)
    out = product("rm,md->rd", weights.astype(v.dtype), v)
    # Divided after the product: d numbers per row instead of m.
    return (out / total).astype(q.dtype), (highest + jnp.log(total))[:, 0]


def gradient_rows(
    q: Float[Array, "r d"],
    out: Float[Array, "r d"],
    total: Float[Array, " r"],
    cotangent: Float[Array, "r d"],
    k: Float[Array, "m d"],
    v: Float[Array, "m d"],
    offset: Float[Array, " m"],
) -> tuple[Array, Array, Array, Array]:
    """The cotangents of a block's queries, and the block's terms in the sums that are
    the cotangents of keys, values and offsets."""
    weights = jnp.exp(logits_of(q, k, offset) - total[:, None])
    mean = product("rd,rd->r", cotangent, out)
    change = weights * (product("rd,md->rm", cotangent, v) - mean[:, None])
    scaled = (change * q.shape[-1] ** -0.5).astype(q.dtype)
    return (
        product("rm,md->rd", scaled, k),
        product("rm,rd->md", scaled, q),
        product("rm,rd->md", weights.astype(v.dtype), cotangent),
        change.sum(0),
    )
