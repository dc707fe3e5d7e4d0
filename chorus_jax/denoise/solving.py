"""Applies a solver to latents of one or more streams, each request at its own step."""

from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from chorus_jax.families.forward import Latents
from chorus_jax.schedulers import Solver


def init(solver: Solver, latents: Latents) -> Any:
    """The solver's state for these latents: one state per stream, one row per
    request."""
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
    """Runs step `i` of each request.

    Args:
        solver: the solver of the run.
        i: the step of each request.
        latents: the latents before the step.
        velocity: the velocity at these latents.
        state: the state from `init` or the step before.
        noise: the noise of the step (`Run.noise`), for a stochastic solver.
        moves: True where the step may change latents (`Forward.moves`); None for
            everywhere.

    Returns:
        The latents and the solver's state after the step.
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
