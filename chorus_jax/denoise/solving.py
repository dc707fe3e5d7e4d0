"""A solver over latents of several streams, each request at a step of its own."""

from typing import Any, cast

import jax
from jaxtyping import Array, Int

from chorus_jax.families.forward import Latents
from chorus_jax.schedulers import Solver


def init(solver: Solver, latents: Latents) -> Any:
    """The solver's state for these latents: one per stream, a row per request."""
    return jax.tree.map(jax.vmap(solver.init), latents)


def step(
    solver: Solver, i: Int[Array, " b"], latents: Latents, velocity: Latents, state: Any
) -> tuple[Latents, Any]:
    """The next latents and state, from the velocity at step `i` of each request."""
    leaves, tree = jax.tree.flatten(latents)
    below = cast(Any, tree).flatten_up_to
    streams = zip(leaves, below(velocity), below(state))
    after = [jax.vmap(solver.step)(i, *arrays) for arrays in streams]
    moved, states = zip(*after)
    return jax.tree.unflatten(tree, moved), jax.tree.unflatten(tree, states)
