"""Errors of the kernels and their baselines against XLA in float32."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from benchmarks.kernels.cases import Case, functions, shapes


@lru_cache
def maker(case: Case) -> Callable[[Array], Any]:
    """A compiled function that draws the operands of a case from a random key."""
    return jax.jit(partial(operands, case))


def operands(case: Case, key: jax.Array) -> tuple[jax.Array, ...]:
    """Random operands of a case; the active tiles are spread over the video."""
    operands = []
    for i, shape in enumerate(shapes(case)):
        if shape.dtype == jnp.int32:
            order = jax.random.permutation(key, case.tiling.count)[: case.active]
            operands.append(jnp.sort(order)[None].astype(jnp.int32))
        else:
            values = jax.random.normal(jax.random.fold_in(key, i), shape.shape)
            operands.append(values.astype(shape.dtype))
    return tuple(operands)


def reference(case: Case) -> Any:
    """XLA's results in float32, for the operands that `error` uses."""
    given = maker(case)(jax.random.key(0))
    single = [x if x.dtype == jnp.int32 else x.astype(jnp.float32) for x in given]
    return jax.jit(functions(case)["xla"])(*single)


def error(case: Case, function: Callable[..., Any], want: Array) -> float:
    """The largest error of a function, relative to the largest value of `want`."""
    got = function(*maker(case)(jax.random.key(0)))
    return float(apart(got, want))


@jax.jit
def apart(got: Float[Array, " *n"], want: Float[Array, " *n"]) -> Float[Array, ""]:
    """The largest difference, relative to the largest wanted value."""
    difference = got.astype(jnp.float32) - want.astype(jnp.float32)
    return jnp.abs(difference).max() / jnp.abs(want).max().astype(jnp.float32)
