"""Attention of the video models, with a choice of implementations.

With `implementation=None`, `choose` picks the one for the platform and gives the
reason. A named implementation runs or raises an error; nothing falls back silently. The
text encoders (short, causal or with a bias per head) and the VAE (one wide head) define
their own attention.

    chunked  plain XLA, a block of queries at a time: memory does not grow with n * m
    cudnn    fused attention of cuDNN through jax.nn (NVIDIA GPUs, 16-bit)
    splash   Pallas splash attention of the jax library (TPUs)
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from chorus_jax.devices import sharding
from chorus_jax.nets.chunked_attention import chunked, chunked_part
from chorus_jax.nets.context_parallel import ContextSplit, PartialAttention
from chorus_jax.nets.split_attention import over_exchange, over_ring, over_whole_keys

IMPLEMENTATIONS = ("chunked", "cudnn", "splash")


class ImplementationChoice(NamedTuple):
    """The implementation that runs, and why.

    Attributes:
        name: the implementation; None if our own kernel is not used.
        reason: why, in words for a log or a table.
    """

    name: str | None
    reason: str


def attention(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
    bias: Float[Array, "b m"] | None = None,
    *,
    keys: str | None = None,
    implementation: str | None = None,
) -> Float[Array, "b n a d"]:
    """softmax(query key^T / sqrt(d) + bias) value, with float32 logits and softmax.

    Under `jax.set_mesh` heads and query tokens are split over the devices.

    Args:
        query: the queries.
        key: the keys.
        value: the values.
        bias: one number per key: minus infinity drops the key, log(r) counts it r
            times.
        keys: `tokens` for keys of a video's tokens, which are split over devices like
            the queries (see `context_parallel`); None if each device has all keys.
        implementation: one of `IMPLEMENTATIONS`; None takes what `choose` returns.

    Raises:
        ValueError: for an implementation that is unknown or cannot run, and if the mesh
            does not divide the heads.
    """
    mesh = jax.sharding.get_abstract_mesh()
    attend = partial(attend_here, implementation=implementation)
    if mesh.empty:
        return attend(query, key, value, bias)
    check_heads(query.shape[2])
    if keys is None or sharding.token_split(mesh) == 1:
        return over_whole_keys(attend, query, key, value, bias)
    split = ContextSplit.of(query.shape[2])
    if not split.ring:
        return over_exchange(split, attend, query, key, value, bias)
    part = partial(part_here, implementation=implementation)
    return over_ring(split, part, query, key, value, bias)


def attend_here(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None,
    *,
    implementation: str | None = None,
) -> Array:
    """Attention on one device."""
    name = named(implementation, query, bias)
    attend = {"chunked": chunked, "cudnn": cudnn, "splash": splash}[name]
    return attend(query, key, value, bias)


def part_here(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    *,
    implementation: str | None = None,
) -> PartialAttention:
    """Attention to some of the keys, on one device; with `splash` it has no gradient.

    Where `choose` returns cuDNN, `chunked` runs instead, because jax returns cuDNN's
    sums in 16 bits only. Raises a ValueError if cuDNN is named.
    """
    name = named(implementation, query, bias)
    if implementation == "cudnn":
        raise ValueError("attention 'cudnn' does not go round a ring; use 'chunked'")
    if name == "splash" and bias is None:
        from chorus_jax.nets.splash import attend_part

        return PartialAttention(*attend_part(query, key, value))
    return PartialAttention(*chunked_part(query, key, value, bias))


def named(implementation: str | None, query: Array, bias: Array | None) -> str:
    """The given implementation, or the chosen one for None. Raises a ValueError for an
    unknown name."""
    if implementation is None:
        name = choose(sharding.platform(), query.dtype, bias is not None).name
        assert name is not None
        return name
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"{implementation=} is none of {', '.join(IMPLEMENTATIONS)}")
    return implementation


def check_heads(heads: int) -> None:
    """Raises a ValueError unless the `tensor` axis of the mesh divides the heads."""
    size = jax.sharding.get_abstract_mesh().shape["tensor"]
    if heads % size:
        raise ValueError(
            f"attention of {heads} heads over tensor={size} devices: each has whole "
            "heads, so make a mesh whose size there divides them"
        )


def choose(platform: str, dtype: jnp.dtype, biased: bool) -> ImplementationChoice:
    """Chooses the implementation for a platform.

    The vendors' kernels take no bias per key (cuDNN would need it as a full n x m
    array), and cuDNN takes 16-bit numbers only; other calls run `chunked`.
    """
    if platform == "cpu":
        return ImplementationChoice("chunked", "no kernel runs on a cpu")
    vendor = {"tpu": "splash", "gpu": "cudnn"}.get(platform)
    if vendor is None:
        return ImplementationChoice("chunked", f"no kernel is known for a {platform}")
    if biased:
        return ImplementationChoice("chunked", f"{vendor} takes no bias")
    if vendor == "cudnn" and dtype.itemsize != 2:
        return ImplementationChoice(
            "chunked", f"cudnn takes 16-bit numbers, these are {dtype}"
        )
    return ImplementationChoice(vendor, f"the {platform}'s own kernel")


def cudnn(query: Array, key: Array, value: Array, bias: Array | None) -> Array:
    """cuDNN's fused attention. Raises a ValueError where it cannot run."""
    if bias is not None:
        raise ValueError("attention 'cudnn' takes no bias; use 'chunked'")
    return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")


def splash(query: Array, key: Array, value: Array, bias: Array | None) -> Array:
    """Splash attention with a full mask. Raises a ValueError where it cannot run."""
    if bias is not None:
        raise ValueError("attention 'splash' takes no bias; use 'chunked'")
    # Imported here: Pallas takes long to import, and a CPU or GPU does not need it.
    from chorus_jax.nets.splash import attend

    return attend(query, key, value)
