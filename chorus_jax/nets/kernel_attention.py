"""Attention by our own Pallas kernels: of a region over all tiles, and over the text.

They run on TPUs and GPUs, where they do not refuse the queries at hand (which is
logged once), and wherever `kernels_pallas.dispatch.forced` names an implementation.
Elsewhere, on CPUs, and everywhere under `with enabled(False):`, the plain path of
`attention` runs. Attention of all tokens over each other is the vendor's.
"""

import logging
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Float32

from chorus_jax.devices import sharding
from chorus_jax.nets.attention import attention
from kernels_pallas import dispatch
from kernels_pallas.amplified_cross_attention.api import (
    MOST_KEYS,
    amplified_cross_attention,
)
from kernels_pallas.masked_region_attention.api import masked_region_attention
from kernels_pallas.masked_region_attention.reference import Fresh

REGION = "masked_region_attention"
TEXT = "amplified_cross_attention"

log = logging.getLogger(__name__)
enabled = jax.make_user_context(default_value=True)


def runs(kernel: str, query: Array) -> bool:
    """Whether a kernel takes these queries, laid out as its own (those of REGION in
    tiles); the plain path does otherwise."""
    name, refusal = chosen(kernel, query)
    if refusal is not None:
        tell_once(f"{kernel}: {refusal}; the plain path runs, which is slower")
    return name is not None


def chosen(kernel: str, query: dispatch.Query) -> tuple[str | None, str | None]:
    """The implementation that takes these queries, None for the plain path; and why the
    platform's own does not, if there is one."""
    if not enabled.value:
        return None, None
    if dispatch.forced.value is not None:
        return dispatch.forced.value, None
    name = dispatch.choose()
    if name == "reference":
        return None, None
    reason = dispatch.refusal(kernel, name, query)
    return (name, None) if reason is None else (None, f"{name!r} refuses {reason}")


@lru_cache
def tell_once(line: str) -> None:
    """Logs a line: each layer of each program asks again."""
    log.warning(line)


def over_tiles(
    query: Float[Array, "b k s a d"],
    key: Float[Array, "b t s a d"],
    value: Float[Array, "b t s a d"],
    fresh: Fresh | None = None,
    bias: Float32[Array, "b t s"] | None = None,
) -> Float[Array, "b k s a d"]:
    """Attention of whole tiles over others, of which some are replaced first.

    Under `jax.set_mesh` heads are split, and the tiles of queries if they divide.
    """

    def attend(
        query: Array, key: Array, value: Array, fresh: Fresh | None, bias: Array | None
    ) -> Array:
        b, k = query.shape[:2]
        every = jnp.broadcast_to(jnp.arange(k)[None], (b, k))
        return masked_region_attention(
            query, key, value, every, fresh=fresh, bias=bias
        ).out

    if jax.sharding.get_abstract_mesh().empty:
        return attend(query, key, value, fresh, bias)
    rows = sharding.token_spec(("batch", "tokens", None, "heads", None), query.shape)
    columns = sharding.spec(("batch", None, None, "heads", None))
    flat: Any = PartitionSpec(columns[0], None)
    new = None
    if fresh is not None:
        new = jax.tree.map(lambda x: columns if x.ndim == 5 else flat, fresh)
    biases = None if bias is None else PartitionSpec(columns[0], None, None)
    return jax.shard_map(
        attend,
        in_specs=(rows, columns, columns, new, biases),
        out_specs=rows,
        check_vma=False,
    )(query, key, value, fresh, bias)


def over_text(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
    bias: Float[Array, "b m"],
    gains: tuple[Float[Array, "b m"], Float[Array, " b"]] | None,
    residual: Float[Array, "b n a d"] | None,
) -> Float[Array, "b n a d"]:
    """Attention over the text, its keys and output amplified, plus the residual.

    Under `jax.set_mesh` heads are split, and the queries if they divide.
    The plain path where the kernel does not run, or the keys are too many for it.
    """
    operands = (query, key, value, bias, gains, residual)
    if not runs(TEXT, query) or key.shape[1] > MOST_KEYS:
        return plain(*operands)
    if jax.sharding.get_abstract_mesh().empty:
        return amplified(*operands)
    rows = sharding.token_spec(("batch", "tokens", "heads", None), query.shape)
    columns = sharding.spec(("batch", None, "heads", None))
    flat = PartitionSpec(columns[0], None)
    scales = None if gains is None else (flat, PartitionSpec(columns[0]))
    more = None if residual is None else rows
    return jax.shard_map(
        amplified,
        in_specs=(rows, columns, columns, flat, scales, more),
        out_specs=rows,
        check_vma=False,
    )(*operands)


def plain(
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    gains: tuple[Array, Array] | None,
    residual: Array | None,
) -> Array:
    """Through the door of `attention`: the keys multiplied before the product."""
    if gains is None:
        out = attention(query, key, value, bias)
    else:
        of_keys, of_output = (x.astype(key.dtype) for x in gains)
        out = attention(query, key * of_keys[..., None, None], value, bias)
        out = out * of_output[:, None, None, None]
    return out if residual is None else out + residual


@jax.custom_vjp
def amplified(
    query: Array,
    key: Array,
    value: Array,
    bias: Array,
    gains: tuple[Array, Array] | None,
    residual: Array | None,
) -> Array:
    """By the kernel; its gradient is the plain path's."""
    of_keys, of_output = (None, None) if gains is None else gains
    single = lambda x: None if x is None else x.astype(jnp.float32)
    return amplified_cross_attention(
        query,
        key,
        value,
        bias=single(bias),
        key_gain=single(of_keys),
        output_gain=single(of_output),
        residual=residual,
    )


def kept(*operands: Array | tuple | None) -> tuple[Array, tuple]:
    """The output, and what its gradient needs."""
    return amplified(*operands), operands


def backward(operands: tuple, cotangent: Array) -> tuple:
    """Cotangents of all operands."""
    return jax.vjp(plain, *operands)[1](cotangent)


amplified.defvjp(kept, backward)
