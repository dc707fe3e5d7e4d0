"""Attention: the one door through which the video models attend.

`implementation=None` takes the one that `choose` names for the platform, with its
reason; naming one means that one or an error. Nothing falls back in silence. The text
encoders (short, biased a head or causal) and the VAE (one wide head) attend in their
own files.

    chunked  plain XLA, a block of queries at a time: memory does not grow with n * m
    cudnn    fused attention of cuDNN through jax.nn (NVIDIA GPUs, 16-bit)
    splash   Pallas splash attention of the jax library (TPUs)
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from chorus_jax.devices import sharding
from chorus_jax.nets.chunked_attention import chunked

IMPLEMENTATIONS = ("chunked", "cudnn", "splash")


class ImplementationChoice(NamedTuple):
    """The implementation that runs, and why.

    Attributes:
        name: an implementation; None where a kernel of ours is not taken.
        reason: in words, for a log or a table.
    """

    name: str | None
    reason: str


def attention(
    query: Float[Array, "b n a d"],
    key: Float[Array, "b m a d"],
    value: Float[Array, "b m a d"],
    bias: Float[Array, "b m"] | None = None,
    *,
    implementation: str | None = None,
) -> Float[Array, "b n a d"]:
    """softmax(query key^T / sqrt(d) + bias) value, with float32 logits and softmax.

    `bias` is one number per key: minus infinity drops it, log(r) counts it r times.
    Under `jax.set_mesh` queries are split over heads, and over tokens if they divide;
    keys over heads.
    """
    name = implementation
    if name is None:
        name = choose(sharding.platform(), query.dtype, bias is not None).name
    if name not in IMPLEMENTATIONS:
        raise ValueError(f"{implementation=} is none of {', '.join(IMPLEMENTATIONS)}")
    attend = {"chunked": chunked, "cudnn": cudnn, "splash": splash}[name]
    if jax.sharding.get_abstract_mesh().empty:
        return attend(query, key, value, bias)
    check_heads(query.shape[2])
    rows = sharding.token_spec(("batch", "tokens", "heads", None), query.shape)
    columns = sharding.spec(("batch", None, "heads", None))
    bias_spec = None if bias is None else PartitionSpec(columns[0], None)
    # check_vma: the library's kernels do not say how their outputs vary over the mesh.
    return jax.shard_map(
        attend,
        in_specs=(rows, columns, columns, bias_spec),
        out_specs=rows,
        check_vma=False,
    )(query, key, value, bias)


def check_heads(heads: int) -> None:
    """ValueError unless the mesh in `jax.set_mesh` divides the heads."""
    axis = sharding.RULES["heads"]
    size = jax.sharding.get_abstract_mesh().shape[axis]
    if heads % size:
        raise ValueError(
            f"attention of {heads} heads over {axis}={size} devices: each has whole "
            "heads, so make a mesh whose size there divides them"
        )


def choose(platform: str, dtype: jnp.dtype, biased: bool) -> ImplementationChoice:
    """The implementation taken on a platform.

    The vendor's kernels take no bias a key (cuDNN would want it as a full n x m array),
    and cuDNN takes 16-bit numbers only; those calls are `chunked`.
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
    """cuDNN's fused attention. Raises ValueError where it cannot run."""
    if bias is not None:
        raise ValueError("attention 'cudnn' takes no bias; use 'chunked'")
    return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")


def splash(query: Array, key: Array, value: Array, bias: Array | None) -> Array:
    """Splash attention with a full mask. Raises ValueError where it cannot run."""
    if bias is not None:
        raise ValueError("attention 'splash' takes no bias; use 'chunked'")
    # Late, for Pallas takes long to import, and a CPU or a GPU does not need it.
    from chorus_jax.nets.splash import attend

    return attend(query, key, value)
