"""Finite differences over computed steps, as weights of the steps' values."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from chorus_jax.intra_request.history import NONE

MOST_ORDER = 8  # of a difference; published settings have 1 or 2


def differences(steps: Int[Array, "r k"], order: int) -> list[Float[Array, "r k"]]:
    """Weights of the finite differences of orders 0 to `order` at the newest step.

    D_0 = F and D_q = (D_(q-1) at this computed step - D_(q-1) at the one before) /
    (steps between the two), as in TaylorSeer (arXiv 2503.06923). Order q needs q + 1
    values; without them its difference is 0.

    Args:
        steps: the steps of the values, newest first (`History.steps`).
        order: the highest order.
    """
    k = steps.shape[1]
    known, gaps = steps > NONE, steps[:, :-1] - steps[:, 1:]
    unit = jnp.broadcast_to(jnp.eye(k, dtype=jnp.float32), (len(steps), k, k))
    level, differences = unit, [unit[:, 0]]  # level: [rows, step, weights]
    for q in range(1, order + 1):
        between = jnp.maximum(gaps[:, : k - q], 1).astype(jnp.float32)
        level = (level[:, :-1] - level[:, 1:]) / between[..., None]
        differences.append(jnp.where(known[:, q, None], level[:, 0], 0.0))
    return differences


def elapsed(i: Int[Array, " r"], steps: Int[Array, "r k"]) -> Float[Array, "r 1"]:
    """The number of steps since the newest value, per row."""
    return (i - steps[:, 0])[:, None].astype(jnp.float32)
