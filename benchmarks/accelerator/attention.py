"""Attention benchmarks of `benchmarks.accelerator`: operands, baselines, errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from chorus_jax.nets.tokens import Size, Tiling
from kernels_pallas.amplified_cross_attention.api import amplified_cross_attention
from kernels_pallas.masked_region_attention.api import masked_region_attention

CHECKED: Final = 64  # queries whose output is compared with float32
Rival = Literal["cudnn", "xla"]
Tokens = Float[Array, "b n a d"]


@dataclass(frozen=True)
class Shape:
    """The problem that a kernel is timed on.

    Attributes:
        grid: tokens along frames, height and width.
        tile: tokens of a tile along frames, height and width.
        heads: the number of heads.
        head_width: numbers per head.
        share: the active share of the tiles, 0 to 1.
        text: keys of the text; 0 for self-attention, over all tokens of the grid.
    """

    grid: Size
    tile: Size
    heads: int
    head_width: int
    share: float
    text: int = 0

    @property
    def tiling(self) -> Tiling:
        """The division of the grid of tokens into tiles."""
        return Tiling.fitting(self.grid, self.tile)

    @property
    def active(self) -> int:
        """The number of active tiles."""
        return max(1, round(self.share * self.tiling.count))

    @property
    def operations(self) -> int:
        """Floating-point operations of attention's two matrix products."""
        keys = self.text or self.tiling.count * self.tiling.size
        queries = self.active * self.tiling.size
        return 4 * queries * keys * self.heads * self.head_width


def operands(shape: Shape, key: Array) -> dict[str, Any]:
    """Random bfloat16 operands, in the layout in which the library calls the kernels.

    Returns queries of the active tiles only, keys and values of all tokens, and a gain
    per key, which only attention over text uses.
    """
    keys = jax.random.split(key, 4)
    tiling = shape.tiling
    count = tiling.count * tiling.size
    counts = (shape.active * tiling.size, shape.text or count, shape.text or count)
    rows = (shape.heads, shape.head_width)
    query, name, value = (
        jax.random.normal(k, (1, n, *rows), jnp.bfloat16)
        for k, n in zip(keys, counts, strict=False)
    )
    gain = 1 + jax.random.uniform(keys[3], (1, counts[1]))
    return {"query": query, "key": name, "value": value, "gain": gain}


def ours(shape: Shape) -> Callable[..., Tokens]:
    """Our kernel, as a function of the operands."""
    size = shape.tiling.size

    def region(query: Tokens, key: Tokens, value: Tokens, gain: Any):
        tiled = [x.reshape(1, -1, size, *x.shape[2:]) for x in (query, key, value)]
        return masked_region_attention(*tiled).out.reshape(query.shape)

    def cross(query: Tokens, key: Tokens, value: Tokens, gain: Any):
        return amplified_cross_attention(query, key, value, key_gain=gain)

    return cross if shape.text else region


def rival(shape: Shape, implementation: Rival) -> Callable[..., Tokens]:
    """jax's own attention for the same operands, by cuDNN or XLA.

    XLA's runs head by head: the logits of all heads at once would not fit in memory.
    """

    def attended(query: Tokens, key: Tokens, value: Tokens) -> Tokens:
        # jax's own attention mixes types, which our tests forbid.
        with jax.numpy_dtype_promotion("standard"):
            return jax.nn.dot_product_attention(
                query, key, value, implementation=implementation
            )

    def by_head(query: Tokens, key: Tokens, value: Tokens) -> Tokens:
        heads = tuple(jnp.moveaxis(x, 2, 0)[:, :, :, None] for x in (query, key, value))
        out = jax.lax.map(lambda one: attended(*one), heads)
        return jnp.moveaxis(out[:, :, :, 0], 0, 2)

    def run(query: Tokens, key: Tokens, value: Tokens, gain: Any):
        if shape.text:
            key = key * gain[..., None, None].astype(key.dtype)
        attend = attended if implementation == "cudnn" else by_head
        return attend(query, key, value)

    return run


def exact(shape: Shape, given: dict[str, Any]) -> tuple[Array, Float32[Array, "n a d"]]:
    """Indices of some queries, and their outputs computed in float32 by plain jnp."""
    count = given["query"].shape[1]
    rows = jnp.arange(count)[:: max(1, count // CHECKED)][:CHECKED]
    query, key, value = (
        given[name][0].astype(jnp.float32) for name in ("query", "key", "value")
    )
    if shape.text:
        key = key * given["gain"][0][:, None, None]
    highest = jax.lax.Precision.HIGHEST
    logits = jnp.einsum("nad,mad->anm", query[rows], key, precision=highest)
    weights = jax.nn.softmax(logits * shape.head_width**-0.5, axis=-1)
    return rows, jnp.einsum("anm,mad->nad", weights, value, precision=highest)


def error(
    function: Callable[..., Tokens], given: dict[str, Any], want: tuple[Array, Array]
) -> float:
    """The largest error of a function, relative to the largest exact output.

    `want` are the indices and outputs of `exact`.
    """
    rows, right = want
    difference = function(**given)[0, rows].astype(jnp.float32) - right
    return float(abs(difference).max() / abs(right).max())
