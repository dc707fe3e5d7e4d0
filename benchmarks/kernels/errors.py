"""How far the kernels and what they are compared with are from XLA's in float32."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from benchmarks.kernels.cases import Case, functions, shapes
from kernels_pallas.masked_region_attention.reference import take


@lru_cache
def maker(case: Case) -> Callable[[Array], Any]:
    """`operands` of a case, compiled once."""
    return jax.jit(partial(operands, case))


def operands(case: Case, key: jax.Array) -> tuple[jax.Array, ...]:
    """Random operands of a case; the active tiles are spread over the video."""
    found = []
    for i, shape in enumerate(shapes(case)):
        if shape.dtype == jnp.int32:
            order = jax.random.permutation(key, case.tiling.count)[: case.active]
            found.append(jnp.sort(order)[None].astype(jnp.int32))
        else:
            values = jax.random.normal(jax.random.fold_in(key, i), shape.shape)
            found.append(values.astype(shape.dtype))
    return tuple(found)


def reference(case: Case) -> Any:
    """XLA's results in float32, of the operands that errors are of."""
    given = maker(case)(jax.random.key(0))
    single = [x if x.dtype == jnp.int32 else x.astype(jnp.float32) for x in given]
    return jax.jit(functions(case)["xla"])(*single)


def error(case: Case, function: Callable[..., Any], want: Any) -> float:
    """The largest of the results' differences from the reference's; see `apart`."""
    given = maker(case)(jax.random.key(0))
    active = given[-1]
    found = jax.tree.leaves(function(*given))
    pairs = zip(found, jax.tree.leaves(want), strict=True)
    off = [apart(x, y, active, case.tiling.size) for x, y in pairs]
    return float(jnp.stack(off).max())


@partial(jax.jit, static_argnames="size")
def apart(
    found: Float[Array, "1 *n c"],
    want: Float[Array, "1 *n c"],
    active: Int[Array, "1 k"],
    size: int,
) -> Float[Array, ""]:
    """The largest difference, over the largest number of the active tiles.

    The others are what they were before, which is much larger than any output.
    """
    found, want = (
        x.astype(jnp.float32).reshape(1, -1, size, x.shape[-1]) for x in (found, want)
    )
    return jnp.abs(found - want).max() / jnp.abs(take(want, active)).max()
