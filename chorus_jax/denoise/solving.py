"""A solver over latents of several streams, each request at a step of its own."""

from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from chorus_jax.families.forward import Latents
from chorus_jax.schedulers import Solver


def init(solver: Solver, latents: Latents) -> Any:
    """The solver's state for these latents: one per stream, a row per request."""
    return jax.tree.map(jax.vmap(solver.init), latents)


def step(
    solver: Solver,
    i: Int[Array, " b"],
    latents: Latents,
    velocity: Latents,
    state: Any,
    noise: Latents | None = None,
    moves: Latents | None = None,
) -> tuple[Latents, Any]:
    """The next latents and state, from the velocity at step `i` of each request.

    Args:
        solver: of the run.
        i: the step of each request.
        latents: those before the step.
        velocity: at them.
        state: what `init` or the step before gave.
        noise: that of the step (`Run.noise`), of a stochastic solver.
        moves: what the step may move (`Forward.moves`); None for all.
    """
    leaves, tree = jax.tree.flatten(latents)
    below = cast(Any, tree).flatten_up_to
    arrays = [leaves, below(velocity), below(state)]
    if noise is not None:
        arrays.append(below(noise))
    after = [jax.vmap(solver.step)(i, *stream) for stream in zip(*arrays)]
    moved, states = zip(*after)
    if moves is not None:
        moved = tuple(map(jnp.where, below(moves), moved, leaves))
    return jax.tree.unflatten(tree, moved), jax.tree.unflatten(tree, states)
