"""Context parallelism: attention over tokens that are split over devices.

There are two methods, which can be combined; the mesh in `jax.set_mesh` selects them
(`ContextSplit.of`):

    Ulysses  the devices along `context` exchange tokens for heads (arXiv 2309.14509):
             each attends to all tokens with a share of the heads, and exchanges back
    ring     blocks of keys and values pass round the devices along `ring`
             (arXiv 2310.01889); partial outputs are joined by the logarithms of their
             sums of weights

Most functions here run inside `jax.shard_map`: their arrays are one device's share.
"""

import logging
import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, Mesh
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.devices import sharding

# The logit of a padding key. It is finite because a block may have only such keys: the
# logarithm of its sum of weights must be a number, so low that it has no weight.
ABSENT = -1e30

log = logging.getLogger(__name__)


class PartialAttention(NamedTuple):
    """Attention over some of the keys.

    Attributes:
        out: the outputs.
        total: the logarithm of each query's sum of weights.
    """

    out: Float[Array, "b n a d"]
    total: Float32[Array, "b n a"]


class ContextSplit(NamedTuple):
    """The mesh axes over which attention to split tokens is distributed.

    Attributes:
        exchange: the axis along which tokens are exchanged for heads; None for none.
        ring: the axes that form a ring, along which keys or partial outputs are passed
            on; () for none.
    """

    exchange: str | None
    ring: tuple[str, ...]

    @classmethod
    def of(cls, heads: int) -> "ContextSplit":
        """The split of attention with `heads` heads over the mesh in `jax.set_mesh`.

        It is Ulysses along `context` and a ring along `ring`. If the size of `context`
        does not divide the heads, `context` forms a ring instead.

        Raises:
            ValueError: if the size of `context` does not divide the heads and the mesh
                has a ring too.
        """
        mesh = jax.sharding.get_abstract_mesh()
        made = split_of(mesh, heads)
        say_once(f"{heads} heads over {sizes(mesh)}: {made.words(mesh)}")
        return made

    @property
    def heads(self) -> tuple[str, ...]:
        """The mesh axes that heads are split over once tokens are exchanged."""
        axis = sharding.spec(("heads",))[0]
        return (axis,) if self.exchange is None else (axis, self.exchange)

    def words(self, mesh: AbstractMesh) -> str:
        """Describes the split in words, for a log or a table."""
        parts = []
        if self.exchange is not None:
            parts.append(f"Ulysses over {mesh.shape[self.exchange]} devices")
        if self.ring:
            count = math.prod(mesh.shape[axis] for axis in self.ring)
            parts.append(f"ring attention over {count} devices")
        return " and ".join(parts) or "tokens are not split"

    @property
    def size(self) -> int:
        """The number of devices in the ring; 1 without a ring."""
        mesh = jax.sharding.get_abstract_mesh()
        return math.prod(mesh.shape[axis] for axis in self.ring)

    def to_heads(self, x: Float[Array, "*l b n a d"]) -> Array:
        """Exchanges heads for tokens: more tokens of fewer heads on each device."""
        if self.exchange is None:
            return x
        tokens, heads = x.ndim - 3, x.ndim - 2
        return jax.lax.all_to_all(x, self.exchange, heads, tokens, tiled=True)

    def to_tokens(self, x: Float[Array, "*l b n a d"]) -> Array:
        """The reverse of `to_heads`."""
        if self.exchange is None:
            return x
        tokens, heads = x.ndim - 3, x.ndim - 2
        return jax.lax.all_to_all(x, self.exchange, tokens, heads, tiled=True)

    def place(self) -> Int[Array, ""]:
        """This device's index in the ring; 0 without a ring."""
        return jax.lax.axis_index(self.ring) if self.ring else jnp.int32(0)


def split_of(mesh: Mesh | AbstractMesh, heads: int) -> ContextSplit:
    """`ContextSplit.of` for the given mesh."""
    context, ring = mesh.shape["context"], mesh.shape.get("ring", 1)
    own = heads // mesh.shape["tensor"]
    ring_axes = ("ring",) if ring > 1 else ()
    if context == 1:
        return ContextSplit(None, ring_axes)
    if own % context == 0:
        return ContextSplit("context", ring_axes)
    if not ring_axes:
        return ContextSplit(None, ("context",))
    fitting = [n for n in range(1, context * ring + 1) if own % n == 0]
    raise ValueError(
        f"{context=} devices exchange tokens for heads (Ulysses), but do not divide "
        f"the {own} heads of a device: {', '.join(map(str, fitting))} would; take one "
        "of these and put the others into ring="
    )


def sizes(mesh: AbstractMesh) -> str:
    """The axes of a mesh and their sizes."""
    return ", ".join(f"{name}={size}" for name, size in mesh.shape.items())


@lru_cache
def say_once(line: str) -> None:
    """Logs a line only the first time, since every layer of every program asks for its
    split."""
    log.info(line)


def round_ring(
    attend: Callable[..., PartialAttention],
    query: Float[Array, "b n a d"],
    blocks: tuple[Array, ...],
    axes: tuple[str, ...],
) -> Float32[Array, "b n a d"]:
    """Ring attention: attends to the keys of all devices while their blocks pass round.

    Args:
        attend: partial attention to one block: `attend(query, *blocks)`.
        query: this device's queries.
        blocks: this device's keys and values, and its bias if there is one.
        axes: the mesh axes that form the ring.
    """
    mesh = jax.sharding.get_abstract_mesh()
    count = math.prod(mesh.shape[axis] for axis in axes)
    onward = [(i, (i + 1) % count) for i in range(count)]

    def turn(carry: tuple, _: None) -> tuple[tuple, None]:
        blocks, before = carry
        # Sent before they are used, so that the next blocks arrive during the compute.
        coming = tuple(jax.lax.ppermute(x, axes, onward) for x in blocks)
        return (coming, joined(before, attend(query, *blocks))), None

    b, n, a, _ = query.shape
    nothing = PartialAttention(
        jnp.zeros(query.shape, jnp.float32), jnp.full((b, n, a), -jnp.inf)
    )
    carry, _ = jax.lax.scan(turn, (blocks, nothing), None, length=count - 1)
    blocks, before = carry
    return joined(before, attend(query, *blocks)).out


def joined(first: PartialAttention, second: PartialAttention) -> PartialAttention:
    """Combines two partial attentions into the attention over the keys of both."""
    total = jnp.logaddexp(first.total, second.total)
    weighed = lambda x: jnp.exp(x.total - total)[..., None] * x.out
    return PartialAttention(weighed(first) + weighed(second), total)


def joined_shares(
    part: PartialAttention, axes: tuple[str, ...]
) -> Float32[Array, "b n a d"]:
    """Combines the partial attentions of all devices of a ring.

    Args:
        part: attention of all queries to this device's keys.
        axes: the mesh axes that form the ring.

    Returns:
        Attention of this device's share of the queries to the keys of all devices.
    """
    weight = jnp.exp(part.total - jax.lax.pmax(part.total, axes))[..., None]
    scatter = lambda x: jax.lax.psum_scatter(x, axes, scatter_dimension=1, tiled=True)
    return scatter(weight * part.out) / scatter(weight)
